// Arming and firing with many timers armed, as in a worker that holds many idle connections.
#include <benchmark/benchmark.h>

#include <deque>

#include "postern/ring/timer_wheel.h"
#include "verify.h"

namespace postern::bench {
namespace {

void RearmTimer(benchmark::State& state) {
  ring::TimerWheel wheel(0);
  std::deque<ring::Timer> timers;
  for (int64_t i = 0; i < state.range(0); ++i) {
    timers.emplace_back(nullptr, [](void*) {});
    wheel.Arm(timers.back(), 1'000'000 + static_cast<uint64_t>(i));
  }
  size_t next = 0;
  for (auto _ : state) {
    wheel.Arm(timers[next], 2'000'000 + next);
    if (!timers[next].armed()) return Wrong(state, "the timer is not armed");
    next = (next + 1) % timers.size();
  }
  PerCore(state);
}
BENCHMARK(RearmTimer)->Arg(100)->Arg(100'000);

// Arms timers over the next minute, then lets that minute pass.
void FireTimers(benchmark::State& state) {
  constexpr uint64_t kMinuteMs = 60'000;
  uint64_t now = 0;
  int64_t fired = 0;
  ring::TimerWheel wheel(now);
  std::deque<ring::Timer> timers;
  for (int64_t i = 0; i < state.range(0); ++i) {
    timers.emplace_back(&fired, [](void* count) { ++*static_cast<int64_t*>(count); });
  }
  for (auto _ : state) {
    fired = 0;
    for (size_t i = 0; i < timers.size(); ++i) {
      wheel.Arm(timers[i], now + i * kMinuteMs / timers.size());
    }
    const uint64_t end = now + kMinuteMs + ring::TimerWheel::kTickMs;
    while (now < end) wheel.Advance(now += ring::TimerWheel::kTickMs);
    if (fired != state.range(0)) return Wrong(state, "not every timer fired");
  }
  PerCore(state, state.range(0));
}
BENCHMARK(FireTimers)->Arg(10'000)->Unit(benchmark::kMicrosecond);

void NextTimerDelay(benchmark::State& state) {
  ring::TimerWheel wheel(0);
  ring::Timer timer(nullptr, [](void*) {});
  wheel.Arm(timer, 2'000'000);
  for (auto _ : state) {
    if (!wheel.NextDelay(5)) return Wrong(state, "the armed timer was not seen");
  }
  PerCore(state);
}
BENCHMARK(NextTimerDelay);

}  // namespace
}  // namespace postern::bench
