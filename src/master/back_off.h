// BackOff: how long to wait before a worker that died is started again.
#pragma once

#include <cstdint>

namespace postern::master {

// A worker that lived is replaced at once; one that dies young again and again (a configuration it
// cannot bear, a machine out of memory) is replaced at growing intervals, so that it costs neither
// the CPU nor the log.
class BackOff {
 public:
  static constexpr uint64_t kYoungMs = 5'000;
  static constexpr uint64_t kFirstMs = 100;
  static constexpr uint64_t kMostMs = 10'000;

  // Died takes note of a life and returns the milliseconds to wait: 0 for the first young death,
  // then kFirstMs, doubling up to kMostMs.
  uint64_t Died(uint64_t lived_ms);

 private:
  bool died_young_ = false;
  uint64_t next_ms_ = kFirstMs;
};

}  // namespace postern::master
