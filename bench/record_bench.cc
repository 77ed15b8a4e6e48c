// Sealing and opening one record, by size and by engine.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "postern/base/limits.h"
#include "tls/engine.h"
#include "tls_peer.h"

namespace postern::bench {
namespace {

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Arg(64)->Arg(1024)->Arg(static_cast<int64_t>(limits::kMaxPlaintext));
}

void Seal(benchmark::State& state, tls::EngineChoice engine) {
  tls::SetEngineChoice(engine);
  const auto server = MakeServer(KeyKind::kEcdsaP256);
  Client client(TLS1_3_VERSION, nullptr);
  double unused = 0;
  const auto record = Connect(*server, client, unused);
  std::vector<std::byte> slot(limits::kSlotSize);
  const auto size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    const MutableBytes sealed = record->Seal({slot.data() + limits::kSlotHeadroom, size});
    if (sealed.empty()) state.SkipWithError("sealing failed");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  tls::SetEngineChoice(tls::EngineChoice::kBest);
}
BENCHMARK_CAPTURE(Seal, aead, tls::EngineChoice::kBest)->Apply(Sizes);
BENCHMARK_CAPTURE(Seal, libssl, tls::EngineChoice::kLibssl)->Apply(Sizes);

// Records can be opened once and in order, so a batch is made outside the measured time.
void Open(benchmark::State& state, tls::EngineChoice engine) {
  tls::SetEngineChoice(engine);
  const auto server = MakeServer(KeyKind::kEcdsaP256);
  Client client(TLS1_3_VERSION, nullptr);
  double unused = 0;
  const auto record = Connect(*server, client, unused);
  const std::vector<std::byte> plain(static_cast<size_t>(state.range(0)));
  constexpr size_t kBatch = 64;
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    std::vector<std::vector<std::byte>> wires;
    for (size_t i = 0; i < kBatch; ++i) wires.push_back(client.Write(plain));
    state.ResumeTiming();
    for (std::vector<std::byte>& wire : wires) {
      if (record->Open(wire).plain.size() != plain.size()) state.SkipWithError("opening failed");
    }
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  tls::SetEngineChoice(tls::EngineChoice::kBest);
}
BENCHMARK_CAPTURE(Open, aead, tls::EngineChoice::kBest)->Apply(Sizes);
BENCHMARK_CAPTURE(Open, libssl, tls::EngineChoice::kLibssl)->Apply(Sizes);

}  // namespace
}  // namespace postern::bench
