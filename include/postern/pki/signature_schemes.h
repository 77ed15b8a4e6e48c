// What a client must be able to verify before a certificate is of use to it: the kind of the
// leaf's key, and the signatures in the chain. Schemes are those of TLS (RFC 8446 section 4.2.3).
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace postern::pki {

// In the order of preference when a client can verify several: what signs cheapest first.
enum class KeyClass : uint8_t {
  kEcdsaP256,
  kEd25519,
  kEcdsaP384,
  kEcdsaP521,
  kEd448,
  kRsaPss,  // a key that is good for RSASSA-PSS alone
  kRsa,
  kOther,
};
inline constexpr size_t kKeyClasses = 8;

// Certificates that share a name are kept side by side when their keys are of different families; a
// second one of the same family is one too many.
enum class KeyFamily : uint8_t { kEcdsa, kEdDsa, kRsaPss, kRsa, kOther };
inline constexpr size_t kKeyFamilies = 5;
KeyFamily FamilyOf(KeyClass kind);

KeyClass KindOf(const EVP_PKEY* key);

// A set of signature schemes as certificates are signed with. A set of needs holds kUnknownScheme
// for a signature that TLS has no scheme for; no client offers that one.
using SchemeSet = uint32_t;
inline constexpr SchemeSet kUnknownScheme = 1U << 31;
// The schemes that a client offers, as numbers of TLS; unknown numbers are passed over.
SchemeSet SchemesOf(std::span<const uint16_t> schemes);
// The one scheme that `certificate` is signed with. Empty for one that is signed by itself: nobody
// verifies that signature (RFC 8446 section 4.2.3).
SchemeSet SchemeNeeded(const X509* certificate);

}  // namespace postern::pki
