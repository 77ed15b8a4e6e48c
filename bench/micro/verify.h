// What a benchmark does when the thing it measures went wrong: it stops, says so, and the whole run
// fails.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace postern::bench {

// Wrong ends the benchmark that `state` belongs to (leave its loop then) and makes the program exit
// with 1: Google Benchmark itself would exit with 0.
void Wrong(benchmark::State& state, const char* what);
bool AnythingWrong();

// PerCore makes the report show items_per_second, the work that one core gets through in a second:
// one thread does all of it. An iteration of the loop does `each` items.
void PerCore(benchmark::State& state, int64_t each = 1);

}  // namespace postern::bench
