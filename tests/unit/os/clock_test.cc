#include "postern/os/clock.h"

#include <ctime>

#include "tests/unit/catch.h"

namespace postern::os {

TEST_CASE("clock: monotonic time does not go back, wall time is the system's") {
  const uint64_t first = MonotonicMs();
  while (MonotonicMs() == first) {
  }
  CHECK(MonotonicMs() > first);
  const int64_t before = ::time(nullptr);
  // The coarse clock of time() may lag behind by a tick.
  CHECK(WallSeconds() >= before);
}

}  // namespace postern::os
