// The micro-benchmarks' entry: OpenSSL allocates through mimalloc here as it does in a worker.
#include <benchmark/benchmark.h>

#include "postern/tls/server_contexts.h"
#include "verify.h"

int main(int argc, char** argv) {
  postern::tls::UseMimalloc();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return postern::bench::AnythingWrong() ? 1 : 0;
}
