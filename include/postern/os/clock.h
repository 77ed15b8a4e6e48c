// Time. Durations and deadlines use the monotonic clock, so that setting the wall clock harms
// nothing; certificates and logs use the wall clock.
#pragma once

#include <cstdint>

namespace postern::os {

// MonotonicMs is CLOCK_MONOTONIC in milliseconds; equal in all processes of one machine.
uint64_t MonotonicMs();
// WallSeconds is seconds since 1970 (UTC).
int64_t WallSeconds();

}  // namespace postern::os
