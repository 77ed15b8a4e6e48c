// Traffic keys from secrets: RFC 8446 section 7 (TLS 1.3) and RFC 5246 section 6.3 (TLS 1.2).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "postern/base/bytes.h"

namespace postern::tls {

enum class HashKind : uint8_t { kSha256, kSha384 };
constexpr size_t HashSize(HashKind hash) { return hash == HashKind::kSha256 ? 32 : 48; }
inline constexpr size_t kMaxHashSize = 48;

// All of these return false only when OpenSSL fails.

// HMAC (RFC 2104) of up to three pieces of one text; `out` takes HashSize(hash) octets. A key
// longer than a block is not supported (TLS has none).
[[nodiscard]] bool Hmac(HashKind hash, Bytes key, std::array<Bytes, 3> text, MutableBytes out);

// The hash of no octets.
Bytes EmptyHash(HashKind hash);

// HKDF-Extract (RFC 5869 section 2.2) into HashSize(hash) octets.
[[nodiscard]] bool Extract(HashKind hash, Bytes salt, Bytes key_material, MutableBytes out);

// HKDF-Expand-Label (RFC 8446 section 7.1) for up to 255 times HashSize(hash) octets. `label` is
// without its prefix "tls13 "; label and context hold 255 octets at most.
[[nodiscard]] bool ExpandLabel(HashKind hash, Bytes secret, std::string_view label, Bytes context,
                               MutableBytes out);

// The PRF of TLS 1.2 (RFC 5246 section 5).
[[nodiscard]] bool Tls12Prf(HashKind hash, Bytes secret, std::string_view label, Bytes seed,
                            MutableBytes out);

}  // namespace postern::tls
