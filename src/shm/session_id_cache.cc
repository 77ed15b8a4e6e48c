// Sessions by ID, in sets of four slots: an ID names its set, and within it the oldest makes room.
// A table with one order of age over all would need a lock, and a lock a way to survive whoever
// held it; and IDs are random, so that sets fill evenly.
//
// Sessions lie here in the clear. All who can map the region serve the same clients with the same
// ticket keys, so that a key for it would have to lie beside it. It is locked, not dumped, not
// inherited by forks, and wiped: an evicted session by the next one, an expired one when it is
// looked for or by the sweep that each store does for one more set, all of them in the end.
#include "postern/shm/session_id_cache.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "postern/base/log.h"
#include "shm/session_id_slots.h"

namespace postern::shm {
namespace {

SessionIdHeader& HeaderOf(os::Mapping& mapping) {
  return *reinterpret_cast<SessionIdHeader*>(mapping.mutable_bytes().data());
}
const SessionIdHeader& HeaderOf(const os::Mapping& mapping) {
  return *reinterpret_cast<const SessionIdHeader*>(mapping.bytes().data());
}

uint64_t SlotsIn(const os::Mapping& mapping) {
  return (mapping.size() - sizeof(SessionIdHeader)) / sizeof(SessionSlot);
}

// The set that an ID's number belongs to. Random octets need no hash.
// Their number is taken from the region's size, which is sealed: a worker that has been taken over
// can write into the header.
SessionSlot* SetOf(os::Mapping& mapping, uint64_t number) {
  auto* slots =
      reinterpret_cast<SessionSlot*>(mapping.mutable_bytes().data() + sizeof(SessionIdHeader));
  return slots + (number & (SlotsIn(mapping) / kSetSlots - 1)) * kSetSlots;
}

uint64_t NumberOf(Bytes id) {
  uint64_t number = 0;
  std::memcpy(&number, id.data(), std::min(id.size(), sizeof number));
  return number;
}

bool Expired(const SessionIdHeader& header, uint64_t state, uint64_t now_s) {
  const uint64_t lifetime_s = header.lifetime_s.load(std::memory_order_relaxed);
  return ChangedAt(state) + lifetime_s < now_s;
}

bool Holds(const SlotContent& content, Bytes id) {
  return content.id_size == id.size() && std::equal(id.begin(), id.end(), content.id.begin());
}

void Count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

// A copy of a slot holds a session's secret.
struct Copy : SlotContent {
  ~Copy() { OPENSSL_cleanse(static_cast<SlotContent*>(this), sizeof(SlotContent)); }
};

void WipeSlot(SessionSlot& slot, uint64_t state, uint64_t now_s) {
  const uint64_t claim = Claim(slot, state, now_s);
  if (claim == 0) return;
  Write(slot, SlotContent{});
  Release(slot, claim);
}

// The first word of the content, without the rest: whether there is anything.
bool Empty(const SessionSlot& slot) { return slot.words[0].load(std::memory_order_relaxed) == 0; }

void Sweep(os::Mapping& mapping, uint64_t now_s) {
  SessionIdHeader& header = HeaderOf(mapping);
  SessionSlot* set = SetOf(mapping, header.sweep.fetch_add(1, std::memory_order_relaxed));
  for (size_t i = 0; i < kSetSlots; ++i) {
    const uint64_t state = set[i].state.load(std::memory_order_acquire);
    // A worker that was killed while it wiped has left the rest behind, in a slot that is busy.
    const bool something = !Empty(set[i]) || IsBusy(state);
    if (something && Expired(header, state, now_s)) WipeSlot(set[i], state, now_s);
  }
}

// A region that cannot be locked still serves; the administrator is told, once per process.
void LockOrWarn(os::Mapping& mapping) {
  if (const Status locked = mapping.LockSecrets(); !locked) {
    LogLine(LogLevel::kWarning, "TLS sessions are not locked in memory")
        .Field("reason", locked.error().ToString());
  }
}

Result<os::Mapping> MapRegion(int fd) {
  auto mapping = os::MapFd(fd, os::MapMode::kShared);
  if (!mapping) return mapping;
  const bool whole = mapping->size() >= sizeof(SessionIdHeader) &&
                     HeaderOf(*mapping).layout == kSessionIdLayout &&
                     SlotsIn(*mapping) == HeaderOf(*mapping).slots;
  if (!whole) {
    return Fail("the session cache has another layout", "run one version of Postern only");
  }
  LockOrWarn(*mapping);
  return mapping;
}

}  // namespace

uint64_t Claim(SessionSlot& slot, uint64_t state, uint64_t now_s) {
  if (IsBusy(state) && ChangedAt(state) + kAbandonedS > now_s) return 0;
  const uint64_t count = ((state & 0xffff'ffff) >> 1) + 1;
  const uint64_t claim = now_s << 32 | ((count << 1) & 0xffff'ffff) | kBusy;
  // Whoever sees a word that is written under the claim also sees the claim (see Read).
  if (!slot.state.compare_exchange_strong(state, claim, std::memory_order_acq_rel)) return 0;
  std::atomic_thread_fence(std::memory_order_release);
  return claim;
}

void Write(SessionSlot& slot, const SlotContent& content) {
  const auto* from = reinterpret_cast<const std::byte*>(&content);
  for (size_t i = 0; i < slot.words.size(); ++i) {
    uint64_t word = 0;
    std::memcpy(&word, from + i * sizeof word, sizeof word);
    slot.words[i].store(word, std::memory_order_relaxed);
  }
}

bool Release(SessionSlot& slot, uint64_t claim) {
  return slot.state.compare_exchange_strong(claim, claim & ~kBusy, std::memory_order_acq_rel);
}

bool Read(const SessionSlot& slot, uint64_t state, SlotContent& content) {
  if (IsBusy(state)) return false;
  auto* to = reinterpret_cast<std::byte*>(&content);
  for (size_t i = 0; i < slot.words.size(); ++i) {
    const uint64_t word = slot.words[i].load(std::memory_order_relaxed);
    std::memcpy(to + i * sizeof word, &word, sizeof word);
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  return slot.state.load(std::memory_order_relaxed) == state;
}

namespace {

std::array<unsigned char, SHA256_DIGEST_LENGTH> DigestOf(const SlotContent& content) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(&content), offsetof(SlotContent, digest),
         digest.data());
  return digest;
}

}  // namespace

void Seal(SlotContent& content) {
  const auto digest = DigestOf(content);
  std::memcpy(content.digest.data(), digest.data(), content.digest.size());
}

bool Sealed(const SlotContent& content) {
  const auto digest = DigestOf(content);
  return content.size <= kStoredSession &&
         std::memcmp(content.digest.data(), digest.data(), content.digest.size()) == 0;
}

uint32_t SessionIdCacheMaster::SlotsFor(uint32_t entries) {
  return entries == 0 ? 0 : std::bit_ceil(std::max<uint32_t>(entries, kSetSlots));
}

Result<SessionIdCacheMaster> SessionIdCacheMaster::Create(uint32_t entries, uint64_t lifetime_s) {
  const uint64_t slots = SlotsFor(entries);
  auto fd =
      os::MakeShared("postern-sessions", sizeof(SessionIdHeader) + slots * sizeof(SessionSlot));
  if (!fd) return std::unexpected(fd.error());
  auto mapping = os::MapFd(fd->get(), os::MapMode::kShared);
  if (!mapping) return std::unexpected(mapping.error());
  SessionIdHeader& header = HeaderOf(*mapping);
  header.layout = kSessionIdLayout;
  header.slots = slots;
  header.lifetime_s.store(lifetime_s, std::memory_order_relaxed);
  LockOrWarn(*mapping);
  SessionIdCacheMaster master;
  master.fd_ = std::move(*fd);
  master.mapping_ = std::move(*mapping);
  return master;
}

Result<SessionIdCacheMaster> SessionIdCacheMaster::FromFd(os::UniqueFd fd) {
  auto mapping = MapRegion(fd.get());
  if (!mapping) return std::unexpected(mapping.error());
  SessionIdCacheMaster master;
  master.fd_ = std::move(fd);
  master.mapping_ = std::move(*mapping);
  master.owned_ = false;
  return master;
}

SessionIdCacheMaster::~SessionIdCacheMaster() {
  // Workers may still be at it. The header stays, and with it their bounds.
  if (!mapping_.valid() || !owned_) return;
  const MutableBytes slots = mapping_.mutable_bytes().subspan(sizeof(SessionIdHeader));
  OPENSSL_cleanse(slots.data(), slots.size());
}

void SessionIdCacheMaster::SetLifetime(uint64_t lifetime_s) {
  HeaderOf(mapping_).lifetime_s.store(lifetime_s, std::memory_order_relaxed);
}

uint32_t SessionIdCacheMaster::slots() const { return static_cast<uint32_t>(SlotsIn(mapping_)); }

SessionIdCounts SessionIdCacheMaster::Counts() const {
  const SessionIdHeader& header = HeaderOf(mapping_);
  return {.hits = header.hits.load(std::memory_order_relaxed),
          .misses = header.misses.load(std::memory_order_relaxed),
          .stores = header.stores.load(std::memory_order_relaxed),
          .evictions = header.evictions.load(std::memory_order_relaxed),
          .refused = header.refused.load(std::memory_order_relaxed)};
}

Result<SessionIdCache> SessionIdCache::Map(int fd) {
  auto mapping = MapRegion(fd);
  if (!mapping) return std::unexpected(mapping.error());
  SessionIdCache cache;
  cache.mapping_ = std::move(*mapping);
  return cache;
}

bool SessionIdCache::enabled() const { return SlotsIn(mapping_) > 0; }

bool SessionIdCache::Store(Bytes id, Bytes session, uint64_t now_s) {
  SessionIdHeader& header = HeaderOf(mapping_);
  if (!enabled() || id.empty() || id.size() > kSessionId || session.size() > kStoredSession) {
    Count(header.refused);
    return false;
  }
  Copy content;
  content.id_size = id.size();
  std::ranges::copy(id, content.id.begin());
  content.size = session.size();
  std::ranges::copy(session, content.session.begin());
  Seal(content);
  Sweep(mapping_, now_s);

  // The empty first, then the oldest; another's claim may be in the way of some.
  SessionSlot* set = SetOf(mapping_, NumberOf(id));
  struct Place {
    SessionSlot* slot;
    uint64_t state;
    bool empty;
  };
  std::array<Place, kSetSlots> places;
  for (size_t i = 0; i < kSetSlots; ++i) {
    places[i] = {&set[i], set[i].state.load(std::memory_order_acquire), Empty(set[i])};
  }
  std::ranges::sort(places, {}, [](const Place& place) {
    return std::pair(!place.empty, ChangedAt(place.state));
  });
  for (const Place& place : places) {
    const uint64_t claim = Claim(*place.slot, place.state, now_s);
    if (claim == 0) continue;
    if (!place.empty && !IsBusy(place.state) && !Expired(header, place.state, now_s)) {
      Count(header.evictions);
    }
    Write(*place.slot, content);
    const bool kept = Release(*place.slot, claim);
    Count(kept ? header.stores : header.refused);
    return kept;
  }
  Count(header.refused);
  return false;
}

void SessionIdCache::Refuse() { Count(HeaderOf(mapping_).refused); }

std::optional<size_t> SessionIdCache::Find(Bytes id, std::span<std::byte, kStoredSession> out,
                                           uint64_t now_s) {
  SessionIdHeader& header = HeaderOf(mapping_);
  if (enabled() && !id.empty() && id.size() <= kSessionId) {
    SessionSlot* set = SetOf(mapping_, NumberOf(id));
    Copy content;
    for (size_t i = 0; i < kSetSlots; ++i) {
      const uint64_t state = set[i].state.load(std::memory_order_acquire);
      if (!Read(set[i], state, content) || !Holds(content, id) || !Sealed(content)) continue;
      if (Expired(header, state, now_s)) {
        WipeSlot(set[i], state, now_s);
        break;
      }
      std::ranges::copy(content.session, out.begin());
      Count(header.hits);
      return content.size;
    }
  }
  Count(header.misses);
  return {};
}

void SessionIdCache::Forget(Bytes id, uint64_t now_s) {
  if (!enabled() || id.empty() || id.size() > kSessionId) return;
  SessionSlot* set = SetOf(mapping_, NumberOf(id));
  Copy content;
  for (size_t i = 0; i < kSetSlots; ++i) {
    const uint64_t state = set[i].state.load(std::memory_order_acquire);
    if (Read(set[i], state, content) && Holds(content, id)) WipeSlot(set[i], state, now_s);
  }
}

}  // namespace postern::shm
