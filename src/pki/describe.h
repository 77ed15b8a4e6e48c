// Facts of certificates and keys in the words that messages use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/pki/certificate.h"

namespace postern::pki {

// "RSA 2048", "EC P-256", "ED25519".
std::string KeyType(const EVP_PKEY* key);
// First 16 hexadecimal digits of the SHA-256 of the public key (SubjectPublicKeyInfo): enough for
// an administrator to tell keys apart.
std::string KeyFingerprint(const EVP_PKEY* key);
// "CN=mail.example.com, O=Example", or "(no subject)".
std::string Subject(const X509* certificate);
// As Pair::names says.
std::vector<std::string> HostNames(const X509* certificate);
Period PeriodOf(const X509* certificate);
// "2026-11-22 14:05 UTC".
std::string TimeText(int64_t seconds);

}  // namespace postern::pki
