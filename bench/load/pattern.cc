// A block of pseudo-random octets that repeats after a prime number of them, so that no power of
// two (a record, a buffer) that is lost or sent twice goes unnoticed. Checking is one memcmp.
#include "bench/load/pattern.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "postern/base/check.h"

namespace postern::bench {
namespace {

constexpr size_t kPeriod = 65'521;  // the greatest prime below 2^16

const std::vector<std::byte>& Block() {
  static const std::vector<std::byte> block = [] {
    std::vector<std::byte> made(kPeriod + kPatternPiece);
    uint64_t state = 0x9E3779B97F4A7C15;
    for (size_t i = 0; i < kPeriod; ++i) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      made[i] = static_cast<std::byte>(state >> 32);
    }
    std::copy_n(made.begin(), kPatternPiece, made.begin() + kPeriod);
    return made;
  }();
  return block;
}

}  // namespace

Bytes PatternAt(uint64_t offset, size_t size) {
  POSTERN_CHECK(size <= kPatternPiece);
  return Bytes(Block()).subspan(offset % kPeriod, size);
}

bool MatchesPattern(uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes expected = PatternAt(offset, std::min(bytes.size(), kPatternPiece));
    if (std::memcmp(expected.data(), bytes.data(), expected.size()) != 0) return false;
    offset += expected.size();
    bytes = bytes.subspan(expected.size());
  }
  return true;
}

}  // namespace postern::bench
