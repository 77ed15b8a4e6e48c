// Clocks. CLOCK_MONOTONIC and not CLOCK_BOOTTIME: io_uring's timeouts run on the monotonic clock
// too, so a deadline and the timer that watches it agree.
#include "postern/os/clock.h"

#include <ctime>

namespace postern::os {

uint64_t MonotonicMs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

int64_t WallSeconds() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

}  // namespace postern::os
