// Times of restarts. The first young death is still answered at once: most often it is an accident
// (a kill by hand, the kernel short of memory for a moment), and a listen queue is waiting.
#include "master/back_off.h"

#include <algorithm>

namespace postern::master {

uint64_t BackOff::Died(uint64_t lived_ms) {
  if (lived_ms >= kYoungMs) {
    *this = BackOff();
    return 0;
  }
  if (!died_young_) {
    died_young_ = true;
    return 0;
  }
  const uint64_t wait = next_ms_;
  next_ms_ = std::min(next_ms_ * 2, kMostMs);
  return wait;
}

}  // namespace postern::master
