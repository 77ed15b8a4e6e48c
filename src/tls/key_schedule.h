// Traffic keys from secrets: RFC 8446 section 7 (TLS 1.3) and RFC 5246 section 6.3 (TLS 1.2).
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "postern/base/bytes.h"

namespace postern::tls {

enum class HashKind : uint8_t { kSha256, kSha384 };
constexpr size_t HashSize(HashKind hash) { return hash == HashKind::kSha256 ? 32 : 48; }

// HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context, for at most HashSize(hash)
// octets. False only when OpenSSL fails.
[[nodiscard]] bool ExpandLabel(HashKind hash, Bytes secret, std::string_view label,
                               MutableBytes out);

// The PRF of TLS 1.2 (RFC 5246 section 5).
[[nodiscard]] bool Tls12Prf(HashKind hash, Bytes secret, std::string_view label, Bytes seed,
                            MutableBytes out);

}  // namespace postern::tls
