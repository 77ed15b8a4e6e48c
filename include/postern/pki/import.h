// Planning an import: which certificate, which key, which chain, under which name. Nothing is
// written here; InstallPair (store.h) does that.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/material.h"
#include "postern/pki/store.h"

namespace postern::pki {

struct ImportOptions {
  std::string name;                // empty: after the certificate
  std::vector<std::string> names;  // hosts of the pair that is replaced; may be empty
  int64_t now = 0;
};

struct ImportPlan {
  std::string name;
  // Borrowed from the material: leaf first, without the root.
  std::vector<X509*> chain;
  EVP_PKEY* key = nullptr;
  std::string leaf_from;
  std::string key_from;
  std::vector<std::string>
      notes;                    // what is done beyond what was asked for: order, what is left out
  std::vector<Error> warnings;  // what is imported all the same
};

// PlanImport finds the certificate and key that belong together in `given`; a key that is not there
// is looked for in `known` (the certificate directory: keys that wait, keys in service), and so are
// intermediates. What would be no good is a fault: no certificate, no key, a key that belongs to
// none of them, several pairs, and FaultsOf for each certificate of the chain. All faults come at
// once. Both materials must outlive the plan.
std::expected<ImportPlan, std::vector<Error>> PlanImport(const Material& given,
                                                         const Material& known,
                                                         const ImportOptions& options);

// TextsOf is what InstallPair takes. The key is encrypted when `passphrase` is not null.
Result<PairTexts> TextsOf(const ImportPlan& plan, const SecretBytes* passphrase = nullptr);

}  // namespace postern::pki
