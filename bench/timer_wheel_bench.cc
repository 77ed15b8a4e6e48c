// Arming and firing with many timers armed, as in a worker that holds many idle connections.
#include <benchmark/benchmark.h>

#include <deque>

#include "postern/ring/timer_wheel.h"

namespace postern::bench {
namespace {

void Rearm(benchmark::State& state) {
  ring::TimerWheel wheel(0);
  std::deque<ring::Timer> timers;
  for (int64_t i = 0; i < state.range(0); ++i) {
    timers.emplace_back(nullptr, [](void*) {});
    wheel.Arm(timers.back(), 1'000'000 + static_cast<uint64_t>(i));
  }
  size_t next = 0;
  for (auto _ : state) {
    wheel.Arm(timers[next], 2'000'000 + next);
    next = (next + 1) % timers.size();
  }
}
BENCHMARK(Rearm)->Arg(100)->Arg(100'000);

void NextDelay(benchmark::State& state) {
  ring::TimerWheel wheel(0);
  ring::Timer timer(nullptr, [](void*) {});
  wheel.Arm(timer, 2'000'000);
  for (auto _ : state) benchmark::DoNotOptimize(wheel.NextDelay(5));
}
BENCHMARK(NextDelay);

}  // namespace
}  // namespace postern::bench
