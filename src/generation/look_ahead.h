// LookAhead: what is slow about collecting certificates, done for all of them at once.
#pragma once

#include <memory>
#include <vector>

#include "generation/sources.h"
#include "postern/generation/certificate_files.h"
#include "postern/pki/certificate.h"

namespace postern::generation {

// Unchanged: the files are still those that `known` was read from.
bool Unchanged(const StoredCertificate& known);

// What was found out about one pair.
struct Looked {
  bool unchanged = false;           // Unchanged, of one that was known
  std::unique_ptr<pki::Pair> pair;  // read, as LoadPair would; null: LoadPair has to do it
};

// LookAhead looks at the files of all pairs, with a thread per CPU when there are many, and is back
// when all threads have ended: who forks afterwards forks alone. `known` holds for each of `files`
// what the generation before has of it, or null. Nobody is asked for a passphrase and no fault is
// found here: what is not plain (pki/plain_pair.h) is left to LoadPair.
std::vector<Looked> LookAhead(const std::vector<CertificateFiles>& files,
                              const std::vector<StoredPtr>& known);

}  // namespace postern::generation
