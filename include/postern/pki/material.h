// Material: certificates, keys and requests out of files in any usual form: PEM (in any order,
// combined, with text around), DER, PKCS#7 and PKCS#12 (RFC 2315, RFC 7292), keys in PKCS#8, plain
// and encrypted (RFC 5208), or in the old forms, also encrypted ("Proc-Type: 4,ENCRYPTED",
// RFC 1421).
//
// For what an administrator hands to a command. What Postern serves from is read by LoadPair, which
// takes less and says more about it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/certificate.h"

namespace postern::pki {

struct FoundCertificate {
  X509Ptr certificate;
  std::string from;  // the file
};
struct FoundKey {
  KeyPtr key;
  std::string from;
};
struct FoundRequest {
  RequestPtr request;
  std::string from;
};

struct Material {
  std::vector<FoundCertificate> certificates;  // each once, in the order of the files
  std::vector<FoundKey> keys;                  // each once
  std::vector<FoundRequest> requests;
  std::vector<std::string> passed_over;  // "a list of revoked certificates in x.pem"
};

// AskPassphrase is called for each encrypted thing (`what`: "the key in a.pem") that does not open
// without one; `attempt` counts from 0 for each, when the answer before was wrong. An error ends
// the reading and is its outcome.
using AskPassphrase = std::function<Result<SecretBytes>(const std::string& what, int attempt)>;

// PassphraseFrom asks `source` once per thing, or three times when it is a terminal (`may_ask` as
// for ReadPassphrase). With kNone it answers that a source must be named, and how.
AskPassphrase PassphraseFrom(const PassphraseSource& source, const std::string& how_to_name_one,
                             bool may_ask = true);

// ReadMaterial adds what a file holds. The errors name the file and say what to do: a file that
// holds none of it, one that is damaged, a passphrase that is wrong, an algorithm that this OpenSSL
// lacks.
Status ReadMaterial(const std::string& path, const AskPassphrase& ask, Material& material);

// DecodeMaterial is ReadMaterial on octets that came `from` a file.
Status DecodeMaterial(const SecretBytes& octets, const std::string& from, const AskPassphrase& ask,
                      Material& material);

}  // namespace postern::pki
