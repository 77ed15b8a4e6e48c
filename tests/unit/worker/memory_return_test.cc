#include "worker/memory_return.h"

#include <cstdint>

#include "tests/unit/catch.h"

namespace postern::worker {
namespace {

int collected = 0;

class Harness {
 public:
  Harness() { collected = 0; }

  void Pass(uint64_t ms, uint64_t handshaking) {
    now_ms += ms;
    timers.Advance(now_ms);
    memory.Observe(handshaking);
  }

  uint64_t now_ms = 1'000'000;
  ring::TimerWheel timers{now_ms};
  MemoryReturn memory{timers, now_ms, [] { ++collected; }};
};

constexpr uint64_t kInterval = MemoryReturn::kIntervalMs + ring::TimerWheel::kTickMs;

}  // namespace

TEST_CASE("memory goes back once a storm of handshakes is over", "[worker][memory]") {
  Harness worker;
  worker.Pass(0, 4'000);
  worker.Pass(kInterval, 3'900);
  CHECK(collected == 0);  // still blowing
  worker.Pass(10, 0);
  worker.Pass(kInterval, 0);
  CHECK(collected == 1);
  CHECK(worker.memory.collected() == 1);

  SECTION("and is left alone from then on") {
    for (int i = 0; i < 10; ++i) worker.Pass(kInterval, 3);
    CHECK(collected == 1);
    CHECK_FALSE(
        worker.timers.NextDelay(worker.now_ms).has_value());  // nothing wakes an idle worker
  }
  SECTION("until the next one") {
    worker.Pass(10, 500);
    worker.Pass(10, 2);
    worker.Pass(kInterval, 2);
    CHECK(collected == 2);
  }
}

TEST_CASE("a few handshakes at once are no storm", "[worker][memory]") {
  Harness worker;
  worker.Pass(0, MemoryReturn::kStorm - 1);
  worker.Pass(kInterval, 0);
  CHECK(collected == 0);
  CHECK_FALSE(worker.timers.NextDelay(worker.now_ms).has_value());
}

TEST_CASE("a steady load of handshakes is not interrupted", "[worker][memory]") {
  Harness worker;
  for (int i = 0; i < 20; ++i) worker.Pass(kInterval, 200 + static_cast<uint64_t>(i % 5));
  CHECK(collected == 0);
}

}  // namespace postern::worker
