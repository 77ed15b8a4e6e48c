#include "bench/load/rate.h"

#include "tests/unit/catch.h"

using postern::bench::Rate;

TEST_CASE("No rate is no limit", "[bench]") {
  Rate rate(0);
  CHECK_FALSE(rate.limited());
  for (int i = 0; i < 100; ++i) CHECK(rate.Take(5));
  CHECK(rate.Delay(5) == 0);
}

TEST_CASE("A rate spaces what begins", "[bench]") {
  Rate rate(100);  // every 10,000 us
  const uint64_t start = 1'000'000;
  CHECK(rate.Take(start));
  CHECK_FALSE(rate.Take(start));
  CHECK(rate.Delay(start) == 10'000);
  CHECK_FALSE(rate.Take(start + 9'999));
  CHECK(rate.Take(start + 10'000));
}

TEST_CASE("What was missed is made up for, but not all of a long pause at once", "[bench]") {
  Rate rate(1000);
  CHECK(rate.Take(1'000'000));
  int begun = 0;
  while (rate.Take(61'000'000)) ++begun;
  CHECK(begun >= 100);
  CHECK(begun <= 102);
}
