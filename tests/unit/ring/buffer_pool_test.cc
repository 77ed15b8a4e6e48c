#include "postern/ring/buffer_pool.h"

#include <memory>
#include <utility>
#include <vector>

#include "postern/ring/ring.h"
#include "tests/unit/catch.h"

namespace postern::ring {
namespace {

struct Pool {
  explicit Pool(uint32_t count) {
    auto ring_made = Ring::Create({.entries = 64, .completions = 128, .direct_descriptors = 4});
    if (!ring_made) FAIL(ring_made.error().ToString());
    ring = std::move(*ring_made);
    auto pool_made = BufferPool::Create(ring->native(), {.group = 3, .count = count});
    if (!pool_made) FAIL(pool_made.error().ToString());
    pool = std::move(*pool_made);
  }
  std::unique_ptr<Ring> ring;
  std::unique_ptr<BufferPool> pool;
};

}  // namespace

TEST_CASE("buffer pool: the slot that came back last is given out first") {
  Pool made(64);
  BufferPool& pool = *made.pool;
  const std::byte* first = nullptr;
  {
    const Slot slot = pool.Acquire();
    REQUIRE(slot.held());
    first = pool.Filled(slot, 1).data();
  }
  for (int again = 0; again < 3; ++again) {
    const Slot slot = pool.Acquire();
    CHECK(pool.Filled(slot, 1).data() == first);
  }
}

TEST_CASE("buffer pool: the kernel is given a window of the slots, which widens one by one") {
  Pool made(64);
  BufferPool& pool = *made.pool;
  const uint32_t narrow = pool.window();
  CHECK(narrow < pool.count());
  // The others can be had otherwise.
  std::vector<Slot> held;
  for (Slot slot = pool.Acquire(); slot.held(); slot = pool.Acquire()) held.push_back(slot);
  CHECK(held.size() == pool.count() - narrow);
  CHECK(pool.available() == narrow);
  held.clear();
  CHECK(pool.available() == pool.count());

  for (uint32_t more = narrow + 1; more <= pool.count(); ++more) {
    pool.Widen();
    CHECK(pool.window() == more);
  }
  pool.Widen();  // there are no more
  CHECK(pool.window() == pool.count());
  CHECK_FALSE(pool.Acquire().held());
  CHECK(pool.exhausted() == 0);  // the kernel has them
}

TEST_CASE("buffer pool: shared slots come back with their last holder") {
  Pool made(32);
  BufferPool& pool = *made.pool;
  Slot one = pool.Acquire();
  Slot other = one;
  CHECK(one.SameAs(other));
  one = Slot();
  CHECK(pool.available() == pool.count() - 1);
  other = Slot();
  CHECK(pool.available() == pool.count());
}

}  // namespace postern::ring
