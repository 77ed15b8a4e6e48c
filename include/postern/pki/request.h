// Keys and certificate requests (PKCS#10, RFC 2986).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/certificate.h"

namespace postern::pki {

enum class KeyKind : uint8_t { kRsa2048, kRsa3072, kRsa4096, kP256, kP384, kEd25519 };
// "rsa2048", "rsa3072", "rsa4096", "p256", "p384", "ed25519"; the order is that of the enum.
const std::vector<std::string>& KeyKindNames();
Result<KeyKind> ParseKeyKind(std::string_view name);
Result<KeyPtr> MakeKey(KeyKind kind);

// RequestSubject's fields may all be empty; a country is two letters (ISO 3166).
struct RequestSubject {
  std::string common_name;  // empty: the first name that is a host's and no longer than 64 octets
  std::string organization;
  std::string unit;
  std::string locality;
  std::string state;
  std::string country;
  std::string email;
};

struct RequestSpec {
  RequestSubject subject;
  std::vector<std::string> names;  // hosts and IP addresses: the subjectAltName
};

// CheckRequestNames is what MakeRequest says of the names.
Status CheckRequestNames(const std::vector<std::string>& names);

// MakeRequest is the PEM text of a request, signed by `key`.
Result<std::string> MakeRequest(const RequestSpec& spec, EVP_PKEY* key);

// PEM texts. A key is PKCS#8; encrypted with AES-256 when `passphrase` is not null.
Result<std::string> CertificatePem(X509* certificate);
Result<SecretBytes> KeyPem(EVP_PKEY* key, const SecretBytes* passphrase = nullptr);

// RequestIsWhole: the request's own signature fits its key.
bool RequestIsWhole(X509_REQ* request);

}  // namespace postern::pki
