// BufferPool: the buffer slots that the kernel takes from when data arrives (a provided-buffer
// ring), so that a connection that waits holds no buffer.
//
// The kernel uses provided buffers first in, first out. Were all of them provided, even one busy
// connection would walk through the whole pool, touch all its memory and find none of it in the
// cache. So only a window of slots is, refilled with those that were used last; it grows when
// receives find it empty, and shrinks slowly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"
#include "postern/base/result.h"

struct io_uring;
struct io_uring_buf_ring;

namespace postern::ring {

class BufferPool;

// Slot holds one buffer; copies share it, and the last one gives it back to the kernel.
class Slot {
 public:
  Slot() = default;
  Slot(const Slot& other);
  Slot(Slot&& other) noexcept : pool_(other.pool_), id_(other.id_) { other.pool_ = nullptr; }
  Slot& operator=(Slot other) noexcept;
  ~Slot();

  bool held() const { return pool_ != nullptr; }
  bool SameAs(const Slot& other) const { return pool_ == other.pool_ && id_ == other.id_; }

 private:
  friend class BufferPool;
  Slot(BufferPool* pool, uint16_t id) : pool_(pool), id_(id) {}
  BufferPool* pool_ = nullptr;
  uint16_t id_ = 0;
};

class BufferPool {
 public:
  // A pool of `count` slots (rounded up to a power of two, 32,768 at most) of limits::kSlotSize
  // octets. The kernel fills each from `offset`, with at most `length` octets; the rest of the slot
  // is room for sealing in place. `group` is the buffer group id, one per pool of a ring. The ring
  // must outlive the pool.
  struct Options {
    uint16_t group = 0;
    uint32_t count = 1024;
    size_t offset = 0;
    size_t length = limits::kMaxPlaintext;
  };
  static Result<std::unique_ptr<BufferPool>> Create(io_uring* ring, const Options& options);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // Take makes the holder of a buffer that a completion named.
  Slot Take(uint16_t id);
  // Acquire gives a slot that is not provided to the kernel, for a receive of our own; not held()
  // when there is none.
  Slot Acquire();
  // The first `size` octets that the kernel put, or is to put, into `slot`.
  MutableBytes Filled(const Slot& slot, size_t size);

  uint16_t group() const { return options_.group; }
  // All of a slot, with the room in front of and behind what the kernel fills.
  MutableBytes Whole(const Slot& slot);

  size_t offset() const { return options_.offset; }
  size_t length() const { return options_.length; }
  uint32_t count() const { return options_.count; }
  // Slots that nobody holds.
  uint32_t available() const { return options_.count - taken_; }
  // After a receive found no buffer (-ENOBUFS): provides more of them, if there are any.
  void Widen();
  uint32_t window() const { return window_; }
  // How often a receive found no buffer because all were held.
  uint64_t exhausted() const { return exhausted_; }

 private:
  friend class Slot;
  BufferPool() = default;
  Slot Hold(uint16_t id);
  void Provide();
  void Release(uint16_t id);

  Options options_;
  io_uring* ring_ = nullptr;
  io_uring_buf_ring* shared_ = nullptr;  // mapped, shared with the kernel
  std::byte* slots_ = nullptr;           // mapped, count * kSlotSize
  std::vector<uint32_t> holders_;        // per slot
  std::vector<uint16_t> free_;           // not provided; the last one is given out first
  uint32_t offered_ = 0;                 // provided and not yet taken
  uint32_t taken_ = 0;                   // held by somebody
  uint32_t window_ = 0;
  uint32_t takes_ = 0;  // since the window was last shrunk
  uint64_t exhausted_ = 0;
};

}  // namespace postern::ring
