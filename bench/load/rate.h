// Rate: how many units may begin by now, at so many per second.
#pragma once

#include <cstdint>

namespace postern::bench {

// After a pause in which nothing could begin, what was missed is made up for within a tenth of a
// second and not all at once.
class Rate {
 public:
  // 0: no limit.
  explicit Rate(double per_second) : interval_us_(per_second > 0 ? 1e6 / per_second : 0) {}

  bool limited() const { return interval_us_ > 0; }
  // Take is true when one may begin now.
  bool Take(uint64_t now_us);
  // Microseconds from `now_us` until Take can be true.
  uint64_t Delay(uint64_t now_us) const;

 private:
  double interval_us_;
  double next_us_ = 0;
};

}  // namespace postern::bench
