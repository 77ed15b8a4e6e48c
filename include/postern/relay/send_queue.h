// SendQueue: octets on their way to one socket, in order. Pieces lie in receive slots (no copy) or
// on the heap; it bounds how many slots it holds.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"
#include "postern/ring/buffer_pool.h"

namespace postern::relay {

class SendQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // AppendSlot queues `part`, which lies in `slot`, without copying it, as long as fewer than
  // limits::kPinnedSlots slots are held here; beyond that it copies and the slot is free at once.
  void AppendSlot(const ring::Slot& slot, MutableBytes part);
  // AppendCopy queues a copy of `bytes`.
  void AppendCopy(Bytes bytes);

  // Gather fills `pieces` with the front of the queue and returns how many there are. From now
  // until Consume (or Release) these octets are in the kernel's hands and stay where they are.
  size_t Gather(iovec (&pieces)[limits::kSendVectors]);
  // Consume drops `sent` octets from the front, after the send of what Gather gave is complete.
  void Consume(size_t sent);
  // Spill copies what lies in slots to the heap and frees the slots. Not between Gather and
  // Consume.
  void Spill();
  // Clear drops everything. Not between Gather and Consume.
  void Clear();

 private:
  struct Chunk {
    std::byte* data = nullptr;
    size_t size = 0;
    ring::Slot slot;                    // held, or
    std::unique_ptr<std::byte[]> heap;  // owned memory, with room behind the data up to `capacity`
    size_t capacity = 0;                // octets from `data` on that may be written
  };

  void Append(Bytes bytes);

  // Empty vectors own no memory: an idle connection has two of these queues.
  std::vector<Chunk> chunks_;
  size_t first_ = 0;     // chunks before it are sent
  size_t gathered_ = 0;  // chunks in the kernel's hands, from first_ on
  size_t slots_ = 0;
  size_t size_ = 0;
};

}  // namespace postern::relay
