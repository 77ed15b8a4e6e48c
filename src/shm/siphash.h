// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash, so that who does not know the key
// cannot choose addresses that meet in one place of a table.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "postern/base/bytes.h"

namespace postern::shm {

using SipKey = std::array<uint64_t, 2>;

class SipState {
 public:
  explicit SipState(const SipKey& key)
      : a_(key[0] ^ 0x736f6d6570736575ULL),
        b_(key[1] ^ 0x646f72616e646f6dULL),
        c_(key[0] ^ 0x6c7967656e657261ULL),
        d_(key[1] ^ 0x7465646279746573ULL) {}

  void Take(uint64_t word) {
    d_ ^= word;
    Rounds(2);
    a_ ^= word;
  }
  uint64_t Finish() {
    c_ ^= 0xff;
    Rounds(4);
    return a_ ^ b_ ^ c_ ^ d_;
  }

 private:
  void Rounds(int count) {
    for (; count > 0; --count) {
      a_ += b_;
      c_ += d_;
      b_ = std::rotl(b_, 13) ^ a_;
      d_ = std::rotl(d_, 16) ^ c_;
      a_ = std::rotl(a_, 32);
      c_ += b_;
      a_ += d_;
      b_ = std::rotl(b_, 17) ^ c_;
      d_ = std::rotl(d_, 21) ^ a_;
      c_ = std::rotl(c_, 32);
    }
  }
  uint64_t a_, b_, c_, d_;
};

// SipHash of `bytes`; words are read as the machine has them (little-endian on all we run on).
inline uint64_t SipHash(const SipKey& key, Bytes bytes) {
  static_assert(std::endian::native == std::endian::little);
  SipState state(key);
  const uint64_t length = static_cast<uint64_t>(bytes.size()) << 56;
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    state.Take(word);
    bytes = bytes.subspan(sizeof word);
  }
  uint64_t last = 0;
  if (!bytes.empty()) std::memcpy(&last, bytes.data(), bytes.size());
  state.Take(last | length);
  return state.Finish();
}

}  // namespace postern::shm
