// MemoryReturn: gives the kernel back what a storm of handshakes took.
//
// A handshake holds some 60 KiB for its milliseconds. When thousands come at once (a network that
// is back after an outage), the allocator grows by all of them; the connections then fall idle,
// nothing allocates any more, and an allocator that purges while it is called never does. So the
// worker asks it to, once such a peak is over.
#pragma once

#include <cstdint>

#include "postern/ring/timer_wheel.h"

namespace postern::worker {

class MemoryReturn {
 public:
  // Calls `collect` (the allocator's own, except in tests) from a timer of `timers`. `timers` and
  // `now_ms` are borrowed and must outlive this.
  using Collect = void (*)();
  MemoryReturn(ring::TimerWheel& timers, const uint64_t& now_ms, Collect collect = CollectFreed);

  // Observe takes the number of handshakes in progress, once per turn of the loop.
  void Observe(uint64_t handshaking);

  // How often memory was given back.
  uint64_t collected() const { return collected_; }

  // Below this many handshakes at once (some 4 MiB) a peak is not worth a walk through the heap.
  static constexpr uint64_t kStorm = 64;
  // A look at the peak this often while there is one; the sessions' ends free memory, too.
  static constexpr uint64_t kIntervalMs = 1'000;

 private:
  static void CollectFreed();
  void OnTimer();

  ring::TimerWheel& timers_;
  const uint64_t& now_ms_;
  Collect collect_;
  uint64_t peak_ = 0;     // of handshakes in progress since memory was last given back
  uint64_t current_ = 0;  // handshakes in progress now
  uint64_t collected_ = 0;
  ring::Timer timer_;
};

}  // namespace postern::worker
