// The octets that bulk transfers consist of: both sides know which octet stands where, so that
// every one can be checked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "postern/base/bytes.h"

namespace postern::bench {

// At most this many octets at a time.
inline constexpr size_t kPatternPiece = 16384;

// The octets of the stream from `offset` on, `size` of them (at most kPatternPiece). They stay.
Bytes PatternAt(uint64_t offset, size_t size);
// Whether `bytes`, of any length, are what the stream has from `offset` on.
bool MatchesPattern(uint64_t offset, Bytes bytes);

}  // namespace postern::bench
