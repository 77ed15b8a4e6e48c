// Ticket keys in a shared page.
//
// Every worker looks a key up in each handshake, the master writes a few times a day. A plain
// sequence lock (odd while the writer is in it) would hang all workers if the master were killed at
// the wrong moment. So the page has two copies of the key set: the master fills the one that is not
// in force, then moves the sequence on; a reader that was overtaken reads again, and a writer that
// dies half-way leaves the old keys in force.
//
// The page is a secret memfd (sealed against new writable mappings): a worker that has been taken
// over can read the keys, which it must anyhow, but not set them for its peers.
#include "postern/shm/ticket_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "postern/base/check.h"
#include "postern/base/log.h"
#include "shm/ticket_page.h"

namespace postern::shm {
namespace {

using Words = std::array<uint64_t, TicketPage::kWords>;

Status MakeKey(TicketKey& key) {
  // The name is public: it comes from the generator that may be seen.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(key.name.data()), kTicketKeyName) != 1 ||
      RAND_priv_bytes(reinterpret_cast<unsigned char*>(key.aes.data()), 32) != 1 ||
      RAND_priv_bytes(reinterpret_cast<unsigned char*>(key.hmac.data()), 32) != 1) {
    return Fail("cannot make a session ticket key: OpenSSL has no random octets");
  }
  key.size = 32;
  return {};
}

// A place that holds no key has a name of zeros.
bool Blank(std::span<const std::byte> octets) {
  return std::ranges::all_of(octets, [](std::byte octet) { return octet == std::byte{0}; });
}

bool HasOurLayout(const os::Mapping& mapping) {
  return mapping.size() >= sizeof(TicketPage) &&
         reinterpret_cast<const TicketPage*>(mapping.bytes().data())->layout == kTicketPageLayout;
}

// A page that cannot be locked still serves; the administrator is told, once per process.
void LockOrWarn(os::Mapping& mapping) {
  if (const Status locked = mapping.LockSecrets(); !locked) {
    LogLine(LogLevel::kWarning, "session ticket keys are not locked in memory")
        .Field("reason", locked.error().ToString());
  }
}

const TicketPage& PageOf(const os::Mapping& mapping) {
  return *reinterpret_cast<const TicketPage*>(mapping.bytes().data());
}
TicketPage& PageOf(os::Mapping& mapping) {
  return *reinterpret_cast<TicketPage*>(mapping.mutable_bytes().data());
}

}  // namespace

void Publish(TicketPage& page, const TicketKeySet& keys) {
  const uint64_t sequence = page.sequence.load(std::memory_order_relaxed);
  Words words;
  std::memcpy(words.data(), keys.data(), sizeof(words));
  TicketPage::Copy& next = page.copies[(sequence + 1) % 2];
  TicketPage::Copy& old = page.copies[sequence % 2];

  // Whoever sees a word written below also sees the sequence of the rotation before this one.
  std::atomic_thread_fence(std::memory_order_release);
  for (size_t i = 0; i < words.size(); ++i) next[i].store(words[i], std::memory_order_relaxed);
  page.sequence.store(sequence + 1, std::memory_order_release);

  // The retired key is in the old copy alone now.
  std::atomic_thread_fence(std::memory_order_release);
  for (auto& word : old) word.store(0, std::memory_order_relaxed);
  OPENSSL_cleanse(words.data(), sizeof(words));
}

void Snapshot(const TicketPage& page, TicketKeySet& keys) {
  Words words;
  for (;;) {
    const uint64_t before = page.sequence.load(std::memory_order_acquire);
    const TicketPage::Copy& copy = page.copies[before % 2];
    for (size_t i = 0; i < words.size(); ++i) words[i] = copy[i].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (page.sequence.load(std::memory_order_relaxed) == before) break;
  }
  std::memcpy(static_cast<void*>(keys.data()), words.data(), sizeof(words));
  OPENSSL_cleanse(words.data(), sizeof(words));
}

Result<TicketKeyMaster> TicketKeyMaster::Create() {
  std::array<std::byte, sizeof(TicketPage)> empty{};
  auto memory = os::MakeSecret("postern-ticket-keys", empty);
  if (!memory) return std::unexpected(memory.error());
  TicketKeyMaster master;
  master.fd_ = std::move(memory->fd);
  master.mapping_ = std::move(memory->writable);
  LockOrWarn(master.mapping_);
  PageOf(master.mapping_).layout = kTicketPageLayout;
  if (Status made = master.Renew(); !made) return std::unexpected(made.error());
  return master;
}

TicketKeyMaster::TicketKeyMaster(TicketKeyMaster&&) noexcept = default;

TicketKeyMaster& TicketKeyMaster::operator=(TicketKeyMaster&& other) noexcept {
  if (this != &other) {
    if (mapping_.valid()) mapping_.Wipe();
    fd_ = std::move(other.fd_);
    mapping_ = std::move(other.mapping_);
  }
  return *this;
}

TicketKeyMaster::~TicketKeyMaster() {
  if (mapping_.valid()) mapping_.Wipe();
}

Status TicketKeyMaster::Rotate() { return Advance(false); }
Status TicketKeyMaster::RotateAnew() { return Advance(true); }

// Keys that came from files have no next one behind them.
Status TicketKeyMaster::Advance(bool anew) {
  TicketPage& page = PageOf(mapping_);
  TicketKeySet keys;
  Snapshot(page, keys);
  std::rotate(keys.begin(), keys.end() - 1, keys.end());
  TicketKey& current = keys[kCurrentKey];
  Status made = anew || Blank(current.name) ? MakeKey(current) : Status();
  if (made) made = MakeKey(keys[kNextKey]);
  if (made) Publish(page, keys);
  OPENSSL_cleanse(keys.data(), sizeof(keys));
  return made;
}

// One publication: there is no moment at which a worker could seal with the zeros of an empty
// place.
Status TicketKeyMaster::Renew() {
  TicketKeySet keys;
  Status made = MakeKey(keys[kCurrentKey]);
  if (made) made = MakeKey(keys[kNextKey]);
  if (made) Publish(PageOf(mapping_), keys);
  OPENSSL_cleanse(keys.data(), sizeof(keys));
  return made;
}

void TicketKeyMaster::Use(std::span<const TicketKey> keys) {
  POSTERN_CHECK(!keys.empty());
  TicketKeySet set;
  std::ranges::copy(keys.first(std::min(keys.size(), kTicketKeyCount)), set.begin() + kCurrentKey);
  Publish(PageOf(mapping_), set);
  OPENSSL_cleanse(set.data(), sizeof(set));
}

Status TicketKeyMaster::Inherit(int fd) {
  auto theirs = os::MapFd(fd, os::MapMode::kReadOnly);
  if (!theirs) return std::unexpected(theirs.error());
  if (!HasOurLayout(*theirs)) return Fail("the ticket key page has another layout");
  TicketKeySet keys;
  Snapshot(PageOf(*theirs), keys);
  // A page that its master has wiped, or is about to: zeros would be keys that everybody knows.
  const TicketKey& current = keys[kCurrentKey];
  const bool none = Blank(current.name) || Blank(current.aes) || Blank(current.hmac);
  if (!none) Publish(PageOf(mapping_), keys);
  OPENSSL_cleanse(keys.data(), sizeof(keys));
  if (none) return Fail("the ticket key page holds no keys");
  return {};
}

Result<TicketKeys> TicketKeys::Map(int fd) {
  auto mapping = os::MapFd(fd, os::MapMode::kReadOnly);
  if (!mapping) return std::unexpected(mapping.error());
  if (!HasOurLayout(*mapping)) {
    return Fail("the ticket key page has another layout", "run one version of Postern only");
  }
  TicketKeys keys;
  keys.mapping_ = std::move(*mapping);
  LockOrWarn(keys.mapping_);
  return keys;
}

// The zeros of a wiped page are keys that everybody knows. A worker whose master is gone, or that
// meets one in its last moments, drains with it.
std::optional<TicketKey> TicketKeys::Current() const {
  TicketKeySet keys;
  Snapshot(PageOf(mapping_), keys);
  std::optional<TicketKey> current;
  if (!Blank(keys[kCurrentKey].name)) current = keys[kCurrentKey];
  OPENSSL_cleanse(keys.data(), sizeof(keys));
  return current;
}

std::optional<TicketKeys::Found> TicketKeys::Find(
    std::span<const std::byte, kTicketKeyName> name) const {
  // A slot that holds no key yet is named by zeros; a peer may send just that name.
  if (Blank(name)) return {};
  TicketKeySet keys;
  Snapshot(PageOf(mapping_), keys);
  const auto at = std::ranges::find_if(
      keys, [&](const TicketKey& key) { return std::ranges::equal(key.name, name); });
  std::optional<Found> found;
  if (at != keys.end()) found = Found{*at, at <= keys.begin() + kCurrentKey};
  OPENSSL_cleanse(keys.data(), sizeof(keys));
  return found;
}

}  // namespace postern::shm
