// Why slots may be pinned at all: a slot sent from where it was received saves a copy of every
// octet in bulk transfer. Why only a few, and none while a peer does not read: slots are the
// worker's common good, and 256 slow readers must not starve a million others.
#include "postern/relay/send_queue.h"

#include <algorithm>
#include <cstring>

#include "postern/base/check.h"

namespace postern::relay {
namespace {

// Small answers are common and many; bulk that overflows the slots comes in runs.
constexpr size_t kSmallChunk = 1024;
constexpr size_t kLargeChunk = 16 * 1024;

// Joining two parts of one slot by moving the later one forward is cheaper than another gather
// entry.
constexpr size_t kWorthJoining = 2048;

}  // namespace

void SendQueue::AppendSlot(const ring::Slot& slot, MutableBytes part) {
  if (part.empty()) return;
  const bool have_last = chunks_.size() > first_ + gathered_;
  if (have_last && chunks_.back().slot.held() && chunks_.back().slot.SameAs(slot)) {
    Chunk& last = chunks_.back();
    if (last.data + last.size == part.data() || part.size() <= kWorthJoining) {
      std::memmove(last.data + last.size, part.data(), part.size());
      last.size += part.size();
      size_ += part.size();
      return;
    }
  }
  if (slots_ >= limits::kPinnedSlots) {
    AppendCopy(part);
    return;
  }
  Chunk chunk;
  chunk.data = part.data();
  chunk.size = part.size();
  chunk.slot = slot;
  chunks_.push_back(std::move(chunk));
  ++slots_;
  size_ += part.size();
}

void SendQueue::AppendCopy(Bytes bytes) {
  size_ += bytes.size();
  const bool have_last = chunks_.size() > first_ + gathered_;
  if (have_last && chunks_.back().heap != nullptr) {
    Chunk& last = chunks_.back();
    const size_t fits = std::min(last.capacity - last.size, bytes.size());
    if (fits > 0) std::memcpy(last.data + last.size, bytes.data(), fits);
    last.size += fits;
    bytes = bytes.subspan(fits);
  }
  if (!bytes.empty()) Append(bytes);
}

void SendQueue::Append(Bytes bytes) {
  Chunk chunk;
  chunk.capacity = std::max(bytes.size(), bytes.size() <= kSmallChunk ? kSmallChunk : kLargeChunk);
  chunk.heap = std::make_unique_for_overwrite<std::byte[]>(chunk.capacity);
  chunk.data = chunk.heap.get();
  chunk.size = bytes.size();
  std::memcpy(chunk.data, bytes.data(), bytes.size());
  chunks_.push_back(std::move(chunk));
}

size_t SendQueue::Gather(iovec (&pieces)[limits::kSendVectors]) {
  POSTERN_CHECK(gathered_ == 0);
  while (gathered_ < limits::kSendVectors && first_ + gathered_ < chunks_.size()) {
    const Chunk& chunk = chunks_[first_ + gathered_];
    pieces[gathered_++] = {chunk.data, chunk.size};
  }
  return gathered_;
}

void SendQueue::Consume(size_t sent) {
  gathered_ = 0;
  POSTERN_CHECK(sent <= size_);
  size_ -= sent;
  while (sent > 0) {
    Chunk& chunk = chunks_[first_];
    const size_t part = std::min(sent, chunk.size);
    chunk.data += part;
    chunk.size -= part;
    chunk.capacity -= std::min(part, chunk.capacity);
    sent -= part;
    if (chunk.size > 0) break;
    if (chunk.slot.held()) --slots_;
    chunk = Chunk{};
    ++first_;
  }
  if (first_ == chunks_.size()) {
    std::vector<Chunk>().swap(chunks_);
    first_ = 0;
  } else if (first_ >= 16) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
}

void SendQueue::Spill() {
  POSTERN_CHECK(gathered_ == 0);
  if (slots_ == 0) return;
  std::vector<Chunk> old;
  old.swap(chunks_);
  const size_t from = first_;
  first_ = 0;
  size_ = 0;
  slots_ = 0;
  for (size_t i = from; i < old.size(); ++i) {
    AppendCopy({old[i].data, old[i].size});
    old[i] = Chunk{};
  }
}

void SendQueue::Clear() {
  POSTERN_CHECK(gathered_ == 0);
  std::vector<Chunk>().swap(chunks_);
  first_ = slots_ = size_ = 0;
}

}  // namespace postern::relay
