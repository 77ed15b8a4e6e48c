// Histogram: how long things took, in microseconds, in places that are 3 % wide; its size does not
// depend on how much is counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace postern::bench {

class Histogram {
 public:
  void Add(uint64_t microseconds);
  void Merge(const Histogram& other);

  uint64_t total() const { return total_; }
  // The exact least and greatest; 0 when nothing was added.
  uint64_t min() const { return total_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  // The upper end of the place that holds the `part` (0..1) of all, and never above max(). 0 when
  // nothing was added.
  uint64_t Percentile(double part) const;

  // Upper end and count of each place that holds something, in order.
  std::vector<std::pair<uint64_t, uint64_t>> Places() const;
  // AddPlace puts a place of Places() back, with `least` and `greatest` of the whole.
  void AddPlace(uint64_t upper, uint64_t count);
  void SetEnds(uint64_t least, uint64_t greatest);

 private:
  static size_t PlaceOf(uint64_t microseconds);
  static uint64_t UpperEnd(size_t place);

  std::vector<uint64_t> counts_;  // as long as the highest place in use
  uint64_t total_ = 0;
  uint64_t min_ = UINT64_MAX;
  uint64_t max_ = 0;
};

}  // namespace postern::bench
