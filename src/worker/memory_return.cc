// When to ask: a walk through the heap in the middle of a storm would cost time just when there is
// none, and what it gives back would be taken again at once. Three quarters of the peak have to be
// gone.
#include "memory_return.h"

#include <algorithm>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <mimalloc.h>
#define POSTERN_MIMALLOC 1
#endif

namespace postern::worker {

MemoryReturn::MemoryReturn(ring::TimerWheel& timers, const uint64_t& now_ms, Collect collect)
    : timers_(timers),
      now_ms_(now_ms),
      collect_(collect),
      timer_(this, [](void* self) { static_cast<MemoryReturn*>(self)->OnTimer(); }) {}

void MemoryReturn::CollectFreed() {
#ifdef POSTERN_MIMALLOC
  mi_collect(true);
#endif
}

void MemoryReturn::Observe(uint64_t handshaking) {
  current_ = handshaking;
  peak_ = std::max(peak_, handshaking);
  if (peak_ >= kStorm && !timer_.armed()) timers_.Arm(timer_, now_ms_ + kIntervalMs);
}

void MemoryReturn::OnTimer() {
  if (current_ <= peak_ / 4) {
    collect_();
    ++collected_;
    peak_ = current_;
  }
  if (peak_ >= kStorm) timers_.Arm(timer_, now_ms_ + kIntervalMs);
}

}  // namespace postern::worker
