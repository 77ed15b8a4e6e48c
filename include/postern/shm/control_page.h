// The shared control page: what the master publishes to every worker at one instant.
// Layout version 1, 2026-11-22; described in docs/generations.md.
#pragma once

#include <atomic>
#include <cstdint>

namespace postern::shm {

// Written by the master alone, mapped read-only by workers.
struct ControlPage {
  // Number of the generation that new connections use. A worker looks at it before it takes up an
  // accepted connection and switches to its prepared generation when the number is another one.
  std::atomic<uint64_t> generation;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace postern::shm
