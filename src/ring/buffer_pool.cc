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
  for (uint32_t id = 0; id < count; ++id) pool->Provide(static_cast<uint16_t>(id));
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
  POSTERN_CHECK(id < options_.count && holders_[id] == 0);
  holders_[id] = 1;
  ++taken_;
  return Slot(this, id);
}

MutableBytes BufferPool::Filled(const Slot& slot, size_t size) {
  POSTERN_CHECK(slot.pool_ == this && size <= options_.length);
  return {slots_ + slot.id_ * limits::kSlotSize + options_.offset, size};
}

void BufferPool::Provide(uint16_t id) {
  ::io_uring_buf_ring_add(shared_, slots_ + id * limits::kSlotSize + options_.offset,
                          static_cast<unsigned>(options_.length), id,
                          ::io_uring_buf_ring_mask(options_.count), 0);
  ::io_uring_buf_ring_advance(shared_, 1);
}

void BufferPool::Release(uint16_t id) {
  POSTERN_CHECK(holders_[id] > 0);
  if (--holders_[id] > 0) return;
  --taken_;
  Provide(id);
}

}  // namespace postern::ring
