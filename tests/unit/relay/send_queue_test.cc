#include "postern/relay/send_queue.h"

#include <poll.h>
#include <unistd.h>

#include <random>
#include <string>

#include "postern/ring/ring.h"
#include "tests/unit/catch.h"

namespace postern::relay {
namespace {

// Slots without a network: a pool whose buffers are taken by number.
struct Slots {
  Slots() {
    auto made = ring::Ring::Create({.entries = 8, .completions = 16, .direct_descriptors = 8});
    if (!made) FAIL(made.error().ToString());
    ring = std::move(*made);
    auto pool_made = ring::BufferPool::Create(ring->native(), {.group = 1, .count = 16});
    if (!pool_made) FAIL(pool_made.error().ToString());
    pool = std::move(*pool_made);
  }
  // The caller numbers the slots itself.
  ring::Slot Take(uint16_t id) { return pool->Take(id); }
  MutableBytes Fill(const ring::Slot& slot, const std::string& text) {
    MutableBytes bytes = pool->Filled(slot, text.size());
    std::copy(text.begin(), text.end(), reinterpret_cast<char*>(bytes.data()));
    return bytes;
  }
  std::unique_ptr<ring::Ring> ring;
  std::unique_ptr<ring::BufferPool> pool;
};

// Sends everything, `step` octets at a time, and returns it.
std::string Drain(SendQueue& queue, size_t step) {
  std::string out;
  while (!queue.empty()) {
    iovec pieces[limits::kSendVectors];
    const size_t count = queue.Gather(pieces);
    std::string gathered;
    for (size_t i = 0; i < count; ++i) {
      gathered.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    }
    const size_t sent = std::min(step, gathered.size());
    out += gathered.substr(0, sent);
    queue.Consume(sent);
  }
  return out;
}

}  // namespace

TEST_CASE("send queue: order is kept however it is sent") {
  for (const size_t step : {1U, 3U, 1000U, 100000U}) {
    Slots slots;
    SendQueue queue;
    std::string expected;
    for (uint16_t id = 0; id < 8; ++id) {
      const ring::Slot slot = slots.Take(id);
      const std::string text(100 + id, static_cast<char>('a' + id));
      queue.AppendSlot(slot, slots.Fill(slot, text));
      queue.AppendCopy(AsBytes("-copy-"));
      expected += text + "-copy-";
    }
    CHECK(queue.size() == expected.size());
    CHECK(Drain(queue, step) == expected);
    CHECK(queue.empty());
    CHECK(slots.pool->available() == slots.pool->count());
  }
}

TEST_CASE("send queue: it holds a few slots at most, none after a spill") {
  Slots slots;
  SendQueue queue;
  for (uint16_t id = 0; id < 8; ++id) {
    const ring::Slot slot = slots.Take(id);
    queue.AppendSlot(slot, slots.Fill(slot, "0123456789"));
  }
  CHECK(slots.pool->count() - slots.pool->available() == limits::kPinnedSlots);
  queue.Spill();
  CHECK(slots.pool->available() == slots.pool->count());
  CHECK(queue.size() == 80);
  CHECK(Drain(queue, 7).size() == 80);
}

TEST_CASE("send queue: parts of one slot are joined, and not while the kernel has them") {
  Slots slots;
  SendQueue queue;
  const ring::Slot slot = slots.Take(0);
  MutableBytes bytes = slots.Fill(slot, "xxhelloxxworldxx!!!");
  queue.AppendSlot(slot, bytes.subspan(2, 5));
  queue.AppendSlot(slot, bytes.subspan(9, 5));
  iovec pieces[limits::kSendVectors];
  CHECK(queue.Gather(pieces) == 1);
  queue.AppendSlot(slot, bytes.subspan(16, 3));
  queue.Consume(4);
  CHECK(queue.Gather(pieces) == 2);
  queue.Consume(0);
  CHECK(Drain(queue, 100) == "oworld!!!");
}

TEST_CASE("send queue: a random mix arrives byte for byte") {
  std::mt19937 random(7);
  Slots slots;
  SendQueue queue;
  std::string expected;
  std::string got;
  for (int round = 0; round < 2000; ++round) {
    const std::string text(random() % 3000, static_cast<char>('a' + random() % 26));
    if (random() % 2 == 0 && slots.pool->available() == slots.pool->count()) {
      const ring::Slot slot = slots.Take(static_cast<uint16_t>(random() % 16));
      queue.AppendSlot(slot, slots.Fill(slot, text));
    } else {
      queue.AppendCopy(AsBytes(text));
    }
    expected += text;
    if (random() % 3 == 0) queue.Spill();
    iovec pieces[limits::kSendVectors];
    const size_t count = queue.Gather(pieces);
    std::string gathered;
    for (size_t i = 0; i < count; ++i) {
      gathered.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    }
    // What is queued while the kernel holds the front must not disturb it.
    queue.AppendCopy(AsBytes("+"));
    expected += "+";
    const size_t sent = gathered.empty() ? 0 : random() % (gathered.size() + 1);
    got += gathered.substr(0, sent);
    queue.Consume(sent);
  }
  got += Drain(queue, 4096);
  CHECK((got == expected));
}

}  // namespace postern::relay
