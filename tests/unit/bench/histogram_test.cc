#include "bench/load/histogram.h"

#include "tests/unit/catch.h"

using postern::bench::Histogram;

TEST_CASE("An empty histogram says nothing", "[bench]") {
  const Histogram histogram;
  CHECK(histogram.total() == 0);
  CHECK(histogram.min() == 0);
  CHECK(histogram.max() == 0);
  CHECK(histogram.Percentile(0.5) == 0);
  CHECK(histogram.Places().empty());
}

TEST_CASE("Percentiles are right to one part in 32, small values exactly", "[bench]") {
  Histogram histogram;
  for (uint64_t i = 1; i <= 100'000; ++i) histogram.Add(i);
  for (const double part : {0.0001, 0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = part * 100'000;
    const auto got = static_cast<double>(histogram.Percentile(part));
    CHECK(got >= exact);
    CHECK(got <= exact * (1 + 1.0 / 32));
  }
  CHECK(histogram.Percentile(0.0003) == 30);
  CHECK(histogram.min() == 1);
  CHECK(histogram.max() == 100'000);
}

TEST_CASE("A percentile lies between the least and the greatest", "[bench]") {
  Histogram histogram;
  histogram.Add(1'000'003);
  CHECK(histogram.Percentile(0.01) == 1'000'003);
  CHECK(histogram.Percentile(1) == 1'000'003);
}

TEST_CASE("Values of any size have a place", "[bench]") {
  Histogram histogram;
  for (const uint64_t value : {uint64_t{0}, uint64_t{63}, uint64_t{64}, UINT64_MAX}) {
    histogram.Add(value);
  }
  CHECK(histogram.total() == 4);
  CHECK(histogram.Places().back().first == UINT64_MAX);
}

TEST_CASE("Merged histograms are as one, and places go there and back", "[bench]") {
  Histogram whole, left, right, again;
  for (uint64_t i = 0; i < 5000; ++i) {
    whole.Add(i * 7);
    (i % 3 == 0 ? left : right).Add(i * 7);
  }
  left.Merge(right);
  left.Merge(Histogram());
  CHECK(left.Places() == whole.Places());
  CHECK(left.min() == whole.min());
  CHECK(left.max() == whole.max());
  for (const auto& [upper, count] : whole.Places()) again.AddPlace(upper, count);
  again.SetEnds(whole.min(), whole.max());
  CHECK(again.Places() == whole.Places());
  CHECK(again.Percentile(0.7) == whole.Percentile(0.7));
}
