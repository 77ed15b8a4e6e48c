// Provided buffers. The ring of free buffers is set up by hand because liburing 2.3 (Debian 12) has
// registration but no helper that also allocates it.
#include "postern/ring/buffer_pool.h"

#include <liburing.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "postern/base/check.h"

namespace postern::ring {
namespace {

constexpr uint32_t kMaxCount = 32768;  // the kernel's bound on a provided-buffer ring
// The window is at least this wide, which still lies in a core's second-level cache.
constexpr uint32_t kMinWindow = 16;
constexpr uint32_t kTakesPerShrink = 4096;

Result<std::byte*> MapZeroed(size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return FailErrno("cannot map memory for the receive buffers", errno,
                     "lower limits.buffers or give the machine more memory");
  }
  // Plain text of mail passes through here: it has no place in a core dump.
  ::madvise(memory, size, MADV_DONTDUMP);
  return static_cast<std::byte*>(memory);
}

}  // namespace

Slot::Slot(const Slot& other) : pool_(other.pool_), id_(other.id_) {
  if (pool_ != nullptr) ++pool_->holders_[id_];
}

Slot& Slot::operator=(Slot other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(id_, other.id_);
  return *this;
}

Slot::~Slot() {
  if (pool_ != nullptr) pool_->Release(id_);
}

Result<std::unique_ptr<BufferPool>> BufferPool::Create(io_uring* ring, const Options& options) {
  POSTERN_CHECK(options.offset + options.length <= limits::kSlotSize);
  std::unique_ptr<BufferPool> pool(new BufferPool());
  pool->options_ = options;
  pool->options_.count = std::bit_ceil(std::clamp(options.count, 2U, kMaxCount));
  const uint32_t count = pool->options_.count;
  pool->ring_ = ring;

  Result<std::byte*> shared = MapZeroed(count * sizeof(io_uring_buf));
  if (!shared) return std::unexpected(shared.error());
  pool->shared_ = reinterpret_cast<io_uring_buf_ring*>(*shared);
  Result<std::byte*> slots = MapZeroed(count * limits::kSlotSize);
  if (!slots) return std::unexpected(slots.error());
  pool->slots_ = *slots;

  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(pool->shared_);
  registration.ring_entries = count;
  registration.bgid = options.group;
  const int outcome = ::io_uring_register_buf_ring(ring, &registration, 0);
  if (outcome < 0) {
    pool->ring_ = nullptr;
    return FailErrno(
        "cannot register receive buffers with io_uring", -outcome,
        outcome == -ENOMEM ? "raise RLIMIT_MEMLOCK (ulimit -l)" : "Linux 6.1 or later is needed");
  }
  ::io_uring_buf_ring_init(pool->shared_);
  pool->holders_.assign(count, 0);
  pool->free_.reserve(count);
  for (uint32_t id = count; id > 0; --id) pool->free_.push_back(static_cast<uint16_t>(id - 1));
  pool->window_ = std::min(kMinWindow, count);
  pool->Provide();
  return pool;
}

BufferPool::~BufferPool() {
  const uint32_t count = options_.count;
  if (ring_ != nullptr && shared_ != nullptr) {
    ::io_uring_unregister_buf_ring(ring_, options_.group);
  }
  if (shared_ != nullptr) ::munmap(shared_, count * sizeof(io_uring_buf));
  if (slots_ != nullptr) ::munmap(slots_, count * limits::kSlotSize);
}

Slot BufferPool::Take(uint16_t id) {
  POSTERN_CHECK(id < options_.count && holders_[id] == 0 && offered_ > 0);
  --offered_;
  if (++takes_ == kTakesPerShrink) {
    takes_ = 0;
    window_ -= (window_ - std::min(kMinWindow, options_.count)) / 8;
  }
  Slot slot = Hold(id);
  Provide();
  return slot;
}

Slot BufferPool::Acquire() {
  if (free_.empty()) return {};
  const uint16_t id = free_.back();
  free_.pop_back();
  return Hold(id);
}

Slot BufferPool::Hold(uint16_t id) {
  holders_[id] = 1;
  ++taken_;
  return {this, id};
}

MutableBytes BufferPool::Filled(const Slot& slot, size_t size) {
  POSTERN_CHECK(slot.pool_ == this && size <= limits::kSlotSize - options_.offset);
  return {slots_ + slot.id_ * limits::kSlotSize + options_.offset, size};
}

MutableBytes BufferPool::Whole(const Slot& slot) {
  POSTERN_CHECK(slot.pool_ == this);
  return {slots_ + slot.id_ * limits::kSlotSize, limits::kSlotSize};
}

// Fills the window up.
void BufferPool::Provide() {
  int added = 0;
  for (; offered_ < window_ && !free_.empty(); ++offered_, ++added) {
    const uint16_t id = free_.back();
    free_.pop_back();
    ::io_uring_buf_ring_add(shared_, slots_ + id * limits::kSlotSize + options_.offset,
                            static_cast<unsigned>(options_.length), id,
                            ::io_uring_buf_ring_mask(options_.count), added);
  }
  if (added > 0) ::io_uring_buf_ring_advance(shared_, added);
}

void BufferPool::Widen() {
  if (free_.empty()) {
    // Those that are provided may have come back since the receive failed.
    if (offered_ == 0) ++exhausted_;
    return;
  }
  // One more per receive that failed: a burst finds the window as wide as the last one.
  ++window_;
  takes_ = 0;
  Provide();
}

void BufferPool::Release(uint16_t id) {
  POSTERN_CHECK(holders_[id] > 0);
  if (--holders_[id] > 0) return;
  --taken_;
  free_.push_back(id);
  Provide();
}

}  // namespace postern::ring
