#include "postern/ring/timer_wheel.h"

#include <deque>
#include <random>
#include <vector>

#include "tests/unit/catch.h"

namespace postern::ring {
namespace {

struct Probe {
  Probe() : timer(this, [](void* self) { static_cast<Probe*>(self)->fired = true; }) {}
  Timer timer;
  bool fired = false;
};

}  // namespace

TEST_CASE("timer wheel: fires once, not early, and at most a tick late") {
  for (const uint64_t delay : {0ULL, 1ULL, 15ULL, 16ULL, 17ULL, 1000ULL, 1024ULL, 65'536ULL,
                               1'000'000ULL, 4'194'304ULL, 5'000'000ULL, 200'000'000ULL}) {
    for (const uint64_t start : {0ULL, 7ULL, 1023ULL, 123'456'789ULL}) {
      CAPTURE(delay, start);
      TimerWheel wheel(start);
      Probe probe;
      wheel.Arm(probe.timer, start + delay);
      uint64_t now = start;
      while (!probe.fired) {
        const auto next = wheel.NextDelay(now);
        REQUIRE(next);
        // Just before what the wheel asks for, nothing may happen.
        if (*next > 1) wheel.Advance(now + *next - 1);
        REQUIRE_FALSE((probe.fired && now + *next - 1 < start + delay));
        now += *next;
        wheel.Advance(now);
      }
      CHECK(now >= start + delay);
      CHECK(now <= start + delay + 2 * TimerWheel::kTickMs);
      CHECK_FALSE(wheel.NextDelay(now));
    }
  }
}

TEST_CASE("timer wheel: re-armed, disarmed and destroyed timers") {
  TimerWheel wheel(0);
  Probe moved;
  Probe disarmed;
  wheel.Arm(moved.timer, 100);
  wheel.Arm(moved.timer, 10'000);
  wheel.Arm(disarmed.timer, 100);
  {
    Probe destroyed;
    wheel.Arm(destroyed.timer, 100);
  }
  wheel.Disarm(disarmed.timer);
  wheel.Advance(9'000);
  CHECK_FALSE(moved.fired);
  CHECK_FALSE(disarmed.fired);
  wheel.Advance(10'016);
  CHECK(moved.fired);
  CHECK_FALSE(disarmed.fired);
}

TEST_CASE("timer wheel: a handler may arm again, also for a time that is past") {
  struct Repeater {
    explicit Repeater(TimerWheel& w)
        : wheel(w), timer(this, [](void* self) {
            auto* repeater = static_cast<Repeater*>(self);
            if (++repeater->count < 5) repeater->wheel.Arm(repeater->timer, 0);
          }) {}
    TimerWheel& wheel;
    Timer timer;
    int count = 0;
  };
  TimerWheel wheel(0);
  Repeater repeater(wheel);
  wheel.Arm(repeater.timer, 0);
  wheel.Advance(1'000);
  CHECK(repeater.count == 5);
}

TEST_CASE("timer wheel: agrees with a sorted list over many random timers") {
  std::mt19937_64 random(1);
  TimerWheel wheel(0);
  struct Entry {
    Probe probe;
    uint64_t due = 0;
  };
  std::deque<Entry> entries(2'000);
  for (Entry& entry : entries) {
    entry.due = random() % (uint64_t{1} << (random() % 30));
    wheel.Arm(entry.probe.timer, entry.due);
  }
  uint64_t now = 0;
  while (now < (uint64_t{1} << 30) + 100) {
    now += random() % (uint64_t{1} << (random() % 25));
    wheel.Advance(now);
    for (const Entry& entry : entries) {
      if (entry.due + 2 * TimerWheel::kTickMs <= now) REQUIRE(entry.probe.fired);
      if (entry.due > now) REQUIRE_FALSE(entry.probe.fired);
    }
  }
  CHECK_FALSE(wheel.NextDelay(now));
}

}  // namespace postern::ring
