// What the processes of one run share in memory: orders from the first, progress from the others.
#pragma once

#include <atomic>
#include <cstdint>

namespace postern::bench {

enum class Phase : uint32_t { kStarting, kReady, kDone };

// One line of memory per process, so that they do not slow each other down.
struct alignas(64) ProcessCell {
  std::atomic<Phase> phase{Phase::kStarting};
  std::atomic<uint64_t> count{0};
  std::atomic<uint64_t> failures{0};
  std::atomic<uint64_t> open{0};
};

struct alignas(64) Control {
  std::atomic<bool> go{false};    // all are ready: begin to measure
  std::atomic<bool> stop{false};  // the time is over, or a signal came
};

}  // namespace postern::bench
