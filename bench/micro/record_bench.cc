// Sealing and opening one record, by size and by engine.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "postern/base/limits.h"
#include "tls/engine.h"
#include "tls_peer.h"
#include "verify.h"

namespace postern::bench {
namespace {

void Sizes(benchmark::internal::Benchmark* benchmark) {
  for (const int64_t size : {64, 512, 1024, 4096}) benchmark->Arg(size);
  benchmark->Arg(static_cast<int64_t>(limits::kMaxPlaintext));
}

// A connection on this engine, with one batch of data for it.
struct Established {
  Established(benchmark::State& state, tls::EngineChoice engine)
      : client(TLS1_3_VERSION, nullptr), plain(static_cast<size_t>(state.range(0))) {
    tls::SetEngineChoice(engine);
    double unused = 0;
    record = Connect(*ServerOf(KeyKind::kEcdsaP256), client, unused);
    tls::SetEngineChoice(tls::EngineChoice::kBest);
    for (size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::byte>(i * 7);
    state.SetLabel(client.cipher());
  }
  // Whether the engine asked for is there: libssl's has kilobytes, the other one two keys.
  bool Has(tls::EngineChoice engine) const {
    constexpr size_t kSmall = 4096;
    return record != nullptr &&
           (record->MemoryUsed() < kSmall) == (engine == tls::EngineChoice::kBest);
  }

  Client client;
  std::unique_ptr<tls::Record> record;
  std::vector<std::byte> plain;
};

void Seal(benchmark::State& state, tls::EngineChoice engine) {
  Established connection(state, engine);
  if (!connection.Has(engine)) return Wrong(state, "another engine took the connection");
  std::vector<std::byte> slot(limits::kSlotSize);
  const MutableBytes room(slot.data() + limits::kSlotHeadroom, connection.plain.size());
  std::ranges::copy(connection.plain, room.begin());
  const MutableBytes first = connection.record->Seal(room);
  if (connection.client.Read(first) != connection.plain) {
    return Wrong(state, "the client reads other octets");
  }
  for (auto _ : state) {
    const MutableBytes sealed = connection.record->Seal(room);
    if (sealed.size() != first.size()) return Wrong(state, "sealing failed");
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  PerCore(state);
}
BENCHMARK_CAPTURE(Seal, aead, tls::EngineChoice::kBest)->Apply(Sizes);
BENCHMARK_CAPTURE(Seal, libssl, tls::EngineChoice::kLibssl)->Apply(Sizes);

// Records can be opened once and in order, so a batch is made outside the measured time, and what
// came out is compared there.
void Open(benchmark::State& state, tls::EngineChoice engine) {
  Established connection(state, engine);
  if (!connection.Has(engine)) return Wrong(state, "another engine took the connection");
  constexpr size_t kBatch = 64;
  std::vector<std::vector<std::byte>> wires(kBatch);
  std::vector<MutableBytes> opened(kBatch);
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    for (std::vector<std::byte>& wire : wires) wire = connection.client.Write(connection.plain);
    state.ResumeTiming();
    for (size_t i = 0; i < kBatch; ++i) opened[i] = connection.record->Open(wires[i]).plain;
    state.PauseTiming();
    for (const MutableBytes plain : opened) {
      if (!std::ranges::equal(plain, connection.plain)) return Wrong(state, "opening failed");
    }
    state.ResumeTiming();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  PerCore(state);
}
BENCHMARK_CAPTURE(Open, aead, tls::EngineChoice::kBest)->Apply(Sizes);
BENCHMARK_CAPTURE(Open, libssl, tls::EngineChoice::kLibssl)->Apply(Sizes);

}  // namespace
}  // namespace postern::bench
