// Signature schemes of handshakes (RFC 8446 section 4.2.3): their names, and which keys make them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace postern::tls {

// "rsa_pss_rsae_sha256" for 0x0804, "0x1234" for what is unknown.
std::string SchemeName(uint16_t scheme);

// What decides, besides a client's offer, about the signature in a handshake.
struct Signing {
  bool tls13 = false;
  bool sha1 = false;         // the security level allows it, and the version
  std::string_view allowed;  // the policy's list; empty: all that OpenSSL has
  uint32_t key_kinds = 0;    // of the certificates, bit 1 << pki::KeyClass
};

// What would sign by a scheme that a client offers.
struct SchemeRemedy {
  uint16_t scheme = 0;      // 0: nothing would
  bool has_key = false;     // one of `key_kinds` can; the policy is what forbids it
  bool needs_sha1 = false;  // of the security level
  std::string_view key;     // "an RSA key"
};

// Names of the schemes that can be used: "ecdsa_secp256r1_sha256"; "none" when there is none.
std::string UsableSchemes(const Signing& signing);

// Whether one of `offered` is among them.
bool AnyUsable(const Signing& signing, std::span<const uint16_t> offered);

// FindRemedy looks for what would do for one of `offered`: with the keys that there are if
// possible, without SHA-1 if possible.
SchemeRemedy FindRemedy(const Signing& signing, std::span<const uint16_t> offered);

}  // namespace postern::tls
