// A keyless 64-bit hash for tables in shared memory. It spreads names that the administrator
// chose; it is not for keys that a peer picks freely.
#pragma once

#include <cstdint>
#include <string_view>

namespace postern {

// Hash64 is FNV-1a with a final mix (so that the low bits are usable as a bucket number). The
// result is part of the layout of the name index: change it together with the layout's version.
constexpr uint64_t Hash64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93ULL;
  hash ^= hash >> 32;
  return hash;
}

}  // namespace postern
