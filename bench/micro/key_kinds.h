// The kinds of keys that servers have, and self-signed certificates with them.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "postern/pki/certificate.h"

namespace postern::bench {

enum class KeyKind : uint8_t { kEcdsaP256, kEcdsaP384, kRsa2048, kRsa3072, kRsa4096, kEd25519 };
inline constexpr KeyKind kKeyKinds[] = {KeyKind::kEcdsaP256, KeyKind::kEcdsaP384,
                                        KeyKind::kRsa2048,   KeyKind::kRsa3072,
                                        KeyKind::kRsa4096,   KeyKind::kEd25519};
const char* ToString(KeyKind kind);  // "rsa_2048"

// The key of this kind. Made once: a 4,096-bit RSA key takes seconds.
EVP_PKEY* KeyOf(KeyKind kind);
// The digest that TLS signs with under such a key; null for Ed25519, which has its own.
const EVP_MD* DigestOf(KeyKind kind);

// A certificate for `host`, signed by its own `key`.
pki::X509Ptr MakeCertificate(const std::string& host, EVP_PKEY* key, const EVP_MD* digest);

std::vector<std::byte> CertificateDer(X509* certificate);
std::vector<std::byte> KeyDer(EVP_PKEY* key);  // PKCS#8
std::string CertificatePem(X509* certificate);
std::string KeyPem(EVP_PKEY* key);

}  // namespace postern::bench
