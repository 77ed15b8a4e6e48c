#include "master/back_off.h"

#include <vector>

#include "tests/unit/catch.h"

namespace postern::master {

TEST_CASE("back_off: who lived is replaced at once, who dies young waits longer each time") {
  BackOff back_off;
  CHECK(back_off.Died(60'000) == 0);
  CHECK(back_off.Died(60'000) == 0);
  std::vector<uint64_t> waits;
  for (int i = 0; i < 10; ++i) waits.push_back(back_off.Died(10));
  CHECK(waits == std::vector<uint64_t>{0, 100, 200, 400, 800, 1600, 3200, 6400, 10'000, 10'000});
  CHECK(back_off.Died(BackOff::kYoungMs) == 0);
  CHECK(back_off.Died(10) == 0);
  CHECK(back_off.Died(10) == 100);
}

}  // namespace postern::master
