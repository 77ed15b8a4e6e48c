// Storing and finding a session by its ID, in the cache of default size when it is full: random
// sets, so that most of what is touched is not in the processor's caches.
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "postern/base/check.h"
#include "postern/shm/session_id_cache.h"
#include "verify.h"

namespace postern::bench {
namespace {

constexpr uint32_t kEntries = 8'192;
constexpr size_t kSession = 160;  // octets, without a client certificate
constexpr uint64_t kNowS = 1000;
using Id = std::array<std::byte, shm::kSessionId>;

Id IdOf(std::mt19937_64& random) {
  std::array<uint64_t, shm::kSessionId / 8> words;
  for (uint64_t& word : words) word = random();
  Id id;
  std::memcpy(id.data(), words.data(), sizeof id);
  return id;
}

struct Full {
  Full()
      : master(shm::SessionIdCacheMaster::Create(kEntries, 3600).value()),
        cache(shm::SessionIdCache::Map(master.fd()).value()) {
    const std::array<std::byte, kSession> session{};
    for (uint32_t i = 0; i < 4 * kEntries; ++i) {
      ids.push_back(IdOf(random));
      POSTERN_CHECK(cache.Store(ids.back(), session, kNowS + i / kEntries));
    }
  }
  shm::SessionIdCacheMaster master;
  shm::SessionIdCache cache;
  std::mt19937_64 random{1};
  std::vector<Id> ids;
};

void StoreSessionId(benchmark::State& state) {
  Full full;
  const std::array<std::byte, kSession> session{};
  size_t next = 0;
  for (auto _ : state) {
    if (!full.cache.Store(full.ids[next++ % full.ids.size()], session, kNowS + 10)) {
      return Wrong(state, "the session was not kept");
    }
  }
  PerCore(state);
}
BENCHMARK(StoreSessionId);

void FindSessionId(benchmark::State& state) {
  Full full;
  std::vector<Id> kept;
  std::array<std::byte, shm::kStoredSession> out;
  for (const Id& id : full.ids) {
    if (full.cache.Find(id, out, kNowS + 10)) kept.push_back(id);
  }
  if (kept.size() < kEntries / 2) return Wrong(state, "too few sessions were kept");
  size_t next = 0;
  for (auto _ : state) {
    if (full.cache.Find(kept[next++ % kept.size()], out, kNowS + 10) != kSession) {
      return Wrong(state, "the session was not found");
    }
  }
  PerCore(state);
}
BENCHMARK(FindSessionId);

void MissSessionId(benchmark::State& state) {
  Full full;
  std::array<std::byte, shm::kStoredSession> out;
  for (auto _ : state) {
    if (full.cache.Find(IdOf(full.random), out, kNowS + 10)) {
      return Wrong(state, "an unknown session was found");
    }
  }
  PerCore(state);
}
BENCHMARK(MissSessionId);

}  // namespace
}  // namespace postern::bench
