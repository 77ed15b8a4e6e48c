// The address table, lock-free.
//
// Considered and rejected: a lock per set of slots that carries its owner's number for the master
// to clear. A worker killed with it would keep all others spinning until the master has buried it;
// here nobody ever waits for the dead, at worst for the few instructions of the living.
//
// What can go wrong is that a slot changes hands while somebody counts in it. Who counts does it
// first and then looks whether the tag is still the address's; who takes a slot claims its tag
// first and then looks whether all counts are zero. All of this is sequentially consistent, so that
// one of the two sees the other. Two workers that insert one address at once look for each other's
// slot after they have published theirs, and who sees another gives its own back.
#include "postern/shm/address_table.h"

#include <netinet/in.h>
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <thread>
#include <utility>

#include "postern/base/hash.h"
#include "postern/base/limits.h"
#include "shm/address_layout.h"

namespace postern::shm {
namespace {

// How often what others are in the middle of is looked at again: a claim lasts for some tens of
// instructions, unless its owner was stopped or killed in the midst of it.
constexpr int kPatience = 64;
// How often an address that two workers insert at once is tried again.
constexpr int kAttempts = 8;

constexpr size_t kKindAt = 16;
constexpr size_t kListenerAt = 24;
enum class Kind : uint8_t { kClient = 1, kListener, kClientAtListener };

uint32_t SecondsOf(uint64_t ms) { return static_cast<uint32_t>(ms / 1000); }

// The low bits are the tag; the set depends on all of them.
struct Place {
  uint64_t tag;
  SlotSet set;
};
Place PlaceOf(const AddressSlots& table, const AddressKey& key) {
  const uint64_t hash = SipHash(table.key(), key.bytes());
  const uint64_t mixed = hash * 0x9e3779b97f4a7c15ULL;
  const auto high = static_cast<uint32_t>(mixed >> 32);
  const uint64_t tag = std::max<uint64_t>(hash & kTagMask, 1);
  // There are few listeners in much room: each is found where its search begins, as good as always.
  if (key.is_listener()) return {tag, {table.slots(), kListenerWays, high % kListenerWays}};
  return {tag, {(high & (table.slots() / kWays - 1)) * kWays, kWays, 0}};
}

bool Fits(const AddressTableHeader& table, size_t size, uint32_t worker) {
  return table.layout == kAddressTableLayout && table.slots >= kWays &&
         std::has_single_bit(table.slots) && table.slots <= limits::kMaxAddresses &&
         table.workers <= limits::kMaxWorkers && worker < table.workers &&
         table.stride == StrideFor(table.workers) && size >= SizeFor(table.slots, table.workers);
}

}  // namespace

// --- Keys ---

std::optional<AddressKey> AddressKey::OfClient(const os::SocketAddress& client) {
  AddressKey key;
  key.octets_[kKindAt] = std::byte{static_cast<uint8_t>(Kind::kClient)};
  const auto map_v4 = [&](const void* address) {
    key.octets_[10] = key.octets_[11] = std::byte{0xff};
    std::memcpy(key.octets_.data() + 12, address, 4);
  };
  if (client.family() == AF_INET) {
    map_v4(&reinterpret_cast<const sockaddr_in*>(client.get())->sin_addr);
    return key;
  }
  if (client.family() != AF_INET6) return std::nullopt;
  const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(client.get())->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    map_v4(&address.s6_addr[12]);
  } else {
    std::memcpy(key.octets_.data(), address.s6_addr, 8);
  }
  return key;
}

AddressKey AddressKey::OfListener(std::string_view listener) {
  AddressKey key;
  key = key.At(listener);
  key.octets_[kKindAt] = std::byte{static_cast<uint8_t>(Kind::kListener)};
  return key;
}

AddressKey AddressKey::At(std::string_view listener) const {
  AddressKey key = *this;
  key.octets_[kKindAt] = std::byte{static_cast<uint8_t>(Kind::kClientAtListener)};
  const uint64_t name = Hash64(listener);
  std::memcpy(key.octets_.data() + kListenerAt, &name, sizeof name);
  return key;
}

bool AddressKey::is_listener() const {
  return octets_[kKindAt] == std::byte{static_cast<uint8_t>(Kind::kListener)};
}

// --- A worker's view ---

Result<AddressTable> AddressTable::Map(int fd, uint32_t worker) {
  Result<os::Mapping> mapping = os::MapFd(fd, os::MapMode::kShared);
  if (!mapping) return std::unexpected(mapping.error());
  AddressTableHeader header;
  if (mapping->size() >= sizeof header) {
    std::memcpy(static_cast<void*>(&header), mapping->bytes().data(), sizeof header);
  }
  if (!Fits(header, mapping->size(), worker)) {
    return postern::Fail("the table of client addresses has another layout",
                         "run one version of Postern only");
  }
  AddressTable table;
  table.mapping_ = std::move(*mapping);
  table.table_ = std::make_shared<AddressSlots>(table.mapping_.mutable_bytes().data(), header);
  table.worker_ = worker;
  return table;
}

uint32_t AddressTable::Enter(const AddressKey& key, uint64_t now_ms) {
  const Place place = PlaceOf(*table_, key);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::optional<uint32_t> slot = Find(place.tag, place.set);
    if (!slot) slot = Insert(place.tag, place.set, now_ms);
    if (!slot) continue;
    if (*slot == kNoSlot) return kNoSlot;
    table_->State(*slot).seen_s.store(SecondsOf(now_ms), std::memory_order_relaxed);
    return *slot;
  }
  return kNoSlot;
}

void AddressTable::Leave(uint32_t slot, uint64_t now_ms) {
  if (slot == kNoSlot) return;
  table_->State(slot).seen_s.store(SecondsOf(now_ms), std::memory_order_relaxed);
  std::atomic<uint32_t>& count = table_->Count(slot, worker_);
  // Not a check of ours: what another worker writes here must not end this one.
  if (count.load(std::memory_order_relaxed) > 0) count.fetch_sub(1);
}

// The slot that has the tag, counted in.
std::optional<uint32_t> AddressTable::Find(uint64_t tag, const SlotSet& set) {
  for (uint32_t i = 0; i < set.ways; ++i) {
    const uint32_t slot = set.At(i);
    uint64_t word = table_->Tag(slot).load();
    // Somebody wants the slot and may yet give it back.
    for (int wait = 0; wait < kPatience && (word & kClaimed) != 0 && (word & kTagMask) == tag;
         ++wait) {
      std::this_thread::yield();
      word = table_->Tag(slot).load();
    }
    if (word != tag) continue;
    table_->Count(slot, worker_).fetch_add(1);
    if (table_->Tag(slot).load() == tag) return slot;
    table_->Count(slot, worker_).fetch_sub(1);
  }
  return std::nullopt;
}

// A slot for a tag that has none, counted in; nothing when it is to be tried again.
std::optional<uint32_t> AddressTable::Insert(uint64_t tag, const SlotSet& set, uint64_t now_ms) {
  const uint32_t slot = Quietest(set, now_ms);
  if (slot == kNoSlot) return kNoSlot;
  const uint64_t before = table_->Tag(slot).load();
  if ((before & kClaimed) != 0 || !Claim(slot, before)) return std::nullopt;
  SlotState& state = table_->State(slot);
  state.next_token_us.store(0);
  state.failures.store(0);
  state.refused.store(0);
  state.logged_s.store(0);
  table_->Count(slot, worker_).fetch_add(1);
  table_->Tag(slot).store(tag);
  if (Doubled(tag, set, slot) && Yield(slot, tag)) return std::nullopt;
  return slot;
}

// Among slots without connections an empty one, else one that has not to pause and was seen longest
// ago; who has to pause is forgotten last.
uint32_t AddressTable::Quietest(const SlotSet& set, uint64_t now_ms) const {
  uint32_t found = kNoSlot;
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (uint32_t i = 0; i < set.ways; ++i) {
    const uint32_t slot = set.At(i);
    const uint64_t word = table_->Tag(slot).load();
    if ((word & kClaimed) != 0 || table_->Sum(slot) != 0) continue;
    if (word == 0) return slot;
    const uint64_t seen = table_->State(slot).seen_s.load(std::memory_order_relaxed);
    const uint64_t rank = seen | (PausedUntilMs(slot, now_ms) != 0 ? uint64_t{1} << 40 : 0);
    if (rank >= least) continue;
    least = rank;
    found = slot;
  }
  return found;
}

// Whether `slot`, whose tag is `tag`, is ours to change: claimed, and nobody counts in it.
bool AddressTable::Claim(uint32_t slot, uint64_t tag) {
  uint64_t expected = tag;
  if (!table_->Tag(slot).compare_exchange_strong(expected, ClaimOf(worker_, tag))) return false;
  if (table_->Sum(slot) == 0) return true;
  table_->Tag(slot).store(tag);
  return false;
}

bool AddressTable::Doubled(uint64_t tag, const SlotSet& set, uint32_t slot) {
  for (uint32_t i = 0; i < set.ways; ++i) {
    const uint32_t other = set.At(i);
    if (other != slot && (table_->Tag(other).load() & kTagMask) == tag) return true;
  }
  return false;
}

// Gives a slot back that only we count in; false when others do by now, and it stays.
bool AddressTable::Yield(uint32_t slot, uint64_t tag) {
  table_->Count(slot, worker_).fetch_sub(1);
  if (Claim(slot, tag)) {
    table_->Tag(slot).store(0);
    return true;
  }
  table_->Count(slot, worker_).fetch_add(1);
  if (table_->Tag(slot).load() == tag) return false;
  table_->Count(slot, worker_).fetch_sub(1);  // meanwhile another has taken it
  return true;
}

// An address may have more than one slot for a while: two workers inserted it at once, and before
// one of them gave its own back others had counted there. So all slots with its tag are summed up,
// those with a claim of another, who may give it back, included. As who enters a slot counts first
// and has the tag there before it looks here, the later one of two sees the other wherever that is.
uint32_t AddressTable::Connections(uint32_t slot) const {
  const uint64_t tag = table_->Tag(slot).load() & kTagMask;
  const SlotSet set = table_->SetOf(slot);
  uint32_t sum = table_->Sum(slot);
  for (uint32_t i = 0; i < set.ways; ++i) {
    const uint32_t other = set.At(i);
    if (other != slot && (table_->Tag(other).load() & kTagMask) == tag) sum += table_->Sum(other);
  }
  return sum;
}

uint32_t AddressTable::Add(Total total) {
  table_->Total(total, worker_).fetch_add(1);
  return table_->SumOf(total);
}

void AddressTable::Take(Total total) {
  std::atomic<uint32_t>& count = table_->Total(total, worker_);
  if (count.load(std::memory_order_relaxed) > 0) count.fetch_sub(1);
}

uint32_t AddressTable::Sum(Total total) const { return table_->SumOf(total); }

bool AddressTable::TakeToken(uint32_t slot, uint32_t per_second, uint32_t burst, uint64_t now_ms) {
  const uint64_t now_us = now_ms * 1000;
  const uint64_t each_us = std::max<uint64_t>(1'000'000 / std::max(per_second, 1U), 1);
  std::atomic<uint64_t>& next = table_->State(slot).next_token_us;
  uint64_t before = next.load();
  for (;;) {
    const uint64_t after = std::max(before, now_us) + each_us;
    if (after > now_us + each_us * std::max(burst, 1U)) return false;
    if (next.compare_exchange_weak(before, after)) return true;
  }
}

uint64_t AddressTable::PausedUntilMs(uint32_t slot, uint64_t now_ms) const {
  const FailureState state = FailureState::Of(table_->State(slot).failures.load());
  return state.pauses > 0 && state.at_ms > now_ms ? state.at_ms : 0;
}

namespace {

// What a failure at `now_ms` makes of `state`.
FailureState AfterFailure(FailureState state, const PenaltyRule& rule, uint64_t now_ms) {
  const uint64_t quiet_ms = now_ms - std::min(now_ms, state.at_ms);
  if (quiet_ms > std::max(rule.most_ms, rule.window_ms)) state = {};
  // Failures are forgotten one by one, evenly over the window.
  const uint64_t each_ms = std::max<uint64_t>(rule.window_ms / rule.failures, 1);
  const uint64_t forgotten = std::min<uint64_t>(quiet_ms / each_ms, state.failures);
  state.failures =
      std::min(state.failures - static_cast<uint32_t>(forgotten) + 1, FailureState::kMostFailures);
  state.at_ms = now_ms;
  if (state.failures < rule.failures) return state;
  const uint64_t longer = std::min<uint64_t>(state.pauses, 30);
  const uint64_t pause_ms = std::min(rule.first_ms << longer, rule.most_ms);
  state.failures = 0;
  state.pauses = std::min(state.pauses + 1, FailureState::kMostPauses);
  state.at_ms = now_ms + pause_ms;
  return state;
}

}  // namespace

std::optional<uint64_t> AddressTable::Fail(uint32_t slot, const PenaltyRule& rule,
                                           uint64_t now_ms) {
  if (rule.failures == 0) return std::nullopt;
  std::atomic<uint64_t>& word = table_->State(slot).failures;
  uint64_t before = word.load();
  for (;;) {
    const FailureState state = FailureState::Of(before);
    if (state.pauses > 0 && state.at_ms > now_ms) return std::nullopt;
    const FailureState after = AfterFailure(state, rule, now_ms);
    if (!word.compare_exchange_weak(before, after.Word())) continue;
    if (after.at_ms == now_ms) return std::nullopt;
    return after.at_ms - now_ms;
  }
}

uint32_t AddressTable::NoteRefusal(uint32_t slot, uint64_t every_ms, uint64_t now_ms) {
  SlotState& state = table_->State(slot);
  state.refused.fetch_add(1, std::memory_order_relaxed);
  const uint32_t now_s = std::max(SecondsOf(now_ms), 1U);
  uint32_t logged = state.logged_s.load();
  if (logged != 0 && now_s - logged < every_ms / 1000) return 0;
  if (!state.logged_s.compare_exchange_strong(logged, now_s)) return 0;
  return state.refused.exchange(0, std::memory_order_relaxed);
}

// --- The master's view ---

Result<AddressTableMaster> AddressTableMaster::Create(uint32_t slots, uint32_t workers) {
  slots = std::bit_ceil(std::clamp(slots, kWays, limits::kMaxAddresses));
  workers = std::clamp(workers, 1U, limits::kMaxWorkers);
  auto fd = os::MakeShared("postern-addresses", SizeFor(slots, workers));
  if (!fd) return std::unexpected(fd.error());
  auto mapping = os::MapFd(fd->get(), os::MapMode::kShared);
  if (!mapping) return std::unexpected(mapping.error());
  AddressTableMaster master;
  master.fd_ = std::move(*fd);
  master.mapping_ = std::move(*mapping);
  std::byte* memory = master.mapping_.mutable_bytes().data();
  auto& header = *new (memory) AddressTableHeader();
  header.slots = slots;
  header.workers = workers;
  header.stride = StrideFor(workers);
  if (::getrandom(header.key.data(), sizeof header.key, 0) != sizeof header.key) {
    return Fail("cannot make the table of client addresses: the system has no random octets");
  }
  master.table_ = std::make_shared<AddressSlots>(memory, header);
  return master;
}

void AddressTableMaster::Forget(uint32_t worker) {
  if (worker >= table_->workers()) return;
  for (uint32_t slot = 0; slot < table_->all(); ++slot) {
    table_->Count(slot, worker).store(0);
    const uint64_t word = table_->Tag(slot).load();
    // It was about to take the slot; whose it was may have it again.
    if (ClaimedBy(word, worker)) table_->Tag(slot).store(word & kTagMask);
  }
}

AddressTableMaster::Usage AddressTableMaster::Look(uint64_t now_ms) const {
  Usage usage{.slots = table_->slots()};
  for (uint32_t slot = 0; slot < table_->slots(); ++slot) {
    if ((table_->Tag(slot).load(std::memory_order_relaxed) & kTagMask) == 0) continue;
    ++usage.used;
    const FailureState state =
        FailureState::Of(table_->State(slot).failures.load(std::memory_order_relaxed));
    if (state.pauses > 0 && state.at_ms > now_ms) ++usage.paused;
  }
  return usage;
}

}  // namespace postern::shm
