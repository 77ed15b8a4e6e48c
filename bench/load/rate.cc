#include "bench/load/rate.h"

#include <algorithm>
#include <cmath>

namespace postern::bench {
namespace {

constexpr double kMostBehindUs = 100'000;

}  // namespace

bool Rate::Take(uint64_t now_us) {
  if (!limited()) return true;
  const auto now = static_cast<double>(now_us);
  if (next_us_ > now) return false;
  // The first one begins the schedule.
  next_us_ = next_us_ == 0 ? now : std::max(next_us_, now - kMostBehindUs);
  next_us_ += interval_us_;
  return true;
}

uint64_t Rate::Delay(uint64_t now_us) const {
  const double left = next_us_ - static_cast<double>(now_us);
  return limited() && left > 0 ? static_cast<uint64_t>(std::ceil(left)) : 0;
}

}  // namespace postern::bench
