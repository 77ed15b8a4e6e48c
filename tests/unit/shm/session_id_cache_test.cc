#include "postern/shm/session_id_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "shm/session_id_slots.h"
#include "tests/unit/catch.h"

namespace postern::shm {
namespace {

constexpr uint64_t kNowS = 1000;
using Id = std::array<std::byte, kSessionId>;

// IDs of one `set` (the low octets say which) that differ in `number`.
Id MakeId(uint8_t set, uint32_t number) {
  Id id{};
  id[0] = std::byte{set};
  std::memcpy(&id[8], &number, sizeof number);
  return id;
}

// A session that is known by its content: any octet out of place shows.
std::string SessionFor(uint32_t number) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += std::to_string(number) + ";";
  return text;
}

struct Shared {
  explicit Shared(uint32_t entries = 64, uint64_t lifetime_s = 100)
      : master(SessionIdCacheMaster::Create(entries, lifetime_s).value()), cache(Map()) {}
  SessionIdCache Map() const { return SessionIdCache::Map(master.fd()).value(); }
  SessionIdCacheMaster master;
  SessionIdCache cache;
};

std::optional<std::string> FindIn(SessionIdCache& cache, const Id& id, uint64_t now_s = kNowS) {
  std::array<std::byte, kStoredSession> out{};
  const auto size = cache.Find(id, out, now_s);
  if (!size) return {};
  return std::string(AsText(Bytes(out).first(*size)));
}

bool StoreIn(SessionIdCache& cache, const Id& id, uint32_t number, uint64_t now_s = kNowS) {
  return cache.Store(id, AsBytes(SessionFor(number)), now_s);
}

std::string Content(int fd) {
  std::string text(static_cast<size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  REQUIRE(::pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  return text;
}

// The slots as a worker that is killed in the middle of a step leaves them.
struct Raw {
  explicit Raw(int fd) : mapping(os::MapFd(fd, os::MapMode::kShared).value()) {}
  SessionSlot& at(size_t i) {
    return reinterpret_cast<SessionSlot*>(mapping.mutable_bytes().data() +
                                          sizeof(SessionIdHeader))[i];
  }
  os::Mapping mapping;
};

SlotContent ContentFor(const Id& id, uint32_t number) {
  SlotContent content;
  content.id_size = id.size();
  content.id = id;
  const std::string session = SessionFor(number);
  content.size = session.size();
  std::ranges::copy(AsBytes(session), content.session.begin());
  Seal(content);
  return content;
}

}  // namespace

TEST_CASE("session IDs: what one worker stores another finds", "[shm][session_ids]") {
  Shared shared;
  SessionIdCache other = shared.Map();
  CHECK_FALSE(FindIn(other, MakeId(0, 1)));
  REQUIRE(StoreIn(shared.cache, MakeId(0, 1), 1));
  CHECK(FindIn(other, MakeId(0, 1)) == SessionFor(1));
  CHECK_FALSE(FindIn(other, MakeId(0, 2)));
  other.Forget(MakeId(0, 1), kNowS);
  CHECK_FALSE(FindIn(shared.cache, MakeId(0, 1)));
  const SessionIdCounts counts = shared.master.Counts();
  CHECK(counts.stores == 1);
  CHECK(counts.hits == 1);
  CHECK(counts.misses == 3);
  CHECK(counts.evictions == 0);
  CHECK(counts.refused == 0);
}

TEST_CASE("session IDs: an ID is found by all its octets and its length", "[shm][session_ids]") {
  Shared shared;
  const Id id = MakeId(3, 7);
  REQUIRE(shared.cache.Store(Bytes(id).first(16), AsBytes("short"), kNowS));
  CHECK_FALSE(FindIn(shared.cache, id));
  std::array<std::byte, kStoredSession> out{};
  CHECK(shared.cache.Find(Bytes(id).first(16), out, kNowS) == 5);
  CHECK_FALSE(shared.cache.Find(Bytes(id).first(15), out, kNowS));
  CHECK_FALSE(shared.cache.Find(Bytes(), out, kNowS));
  const std::vector<std::byte> long_id(kSessionId + 1);
  CHECK_FALSE(shared.cache.Find(long_id, out, kNowS));
  CHECK_FALSE(shared.cache.Store(long_id, AsBytes("x"), kNowS));
  CHECK_FALSE(shared.cache.Store(Bytes(), AsBytes("x"), kNowS));
}

TEST_CASE("session IDs: one that is too large is not kept", "[shm][session_ids]") {
  Shared shared;
  const std::vector<std::byte> fits(kStoredSession, std::byte{7});
  const std::vector<std::byte> large(kStoredSession + 1, std::byte{7});
  CHECK(shared.cache.Store(MakeId(0, 1), fits, kNowS));
  CHECK(FindIn(shared.cache, MakeId(0, 1))->size() == kStoredSession);
  CHECK_FALSE(shared.cache.Store(MakeId(0, 2), large, kNowS));
  CHECK(shared.master.Counts().refused == 1);
}

TEST_CASE("session IDs: in a full set the oldest goes", "[shm][session_ids]") {
  Shared shared;
  for (uint32_t i = 0; i < kSetSlots; ++i)
    REQUIRE(StoreIn(shared.cache, MakeId(5, i), i, kNowS + i));
  REQUIRE(StoreIn(shared.cache, MakeId(5, 99), 99, kNowS + 10));
  CHECK_FALSE(FindIn(shared.cache, MakeId(5, 0), kNowS + 10));
  for (uint32_t i = 1; i < kSetSlots; ++i) {
    CHECK(FindIn(shared.cache, MakeId(5, i), kNowS + 10) == SessionFor(i));
  }
  CHECK(FindIn(shared.cache, MakeId(5, 99), kNowS + 10) == SessionFor(99));
  CHECK(shared.master.Counts().evictions == 1);
  // Nothing is left of it.
  CHECK(Content(shared.master.fd()).find(SessionFor(0)) == std::string::npos);
}

TEST_CASE("session IDs: old ones are not found and are wiped", "[shm][session_ids]") {
  Shared shared(64, 100);
  REQUIRE(StoreIn(shared.cache, MakeId(0, 1), 1));
  REQUIRE(StoreIn(shared.cache, MakeId(1, 2), 2));
  CHECK(FindIn(shared.cache, MakeId(0, 1), kNowS + 100));
  CHECK_FALSE(FindIn(shared.cache, MakeId(0, 1), kNowS + 101));
  CHECK(Content(shared.master.fd()).find(SessionFor(1)) == std::string::npos);
  // Stores elsewhere wipe what nobody asks for.
  CHECK(Content(shared.master.fd()).find(SessionFor(2)) != std::string::npos);
  for (uint32_t i = 0; i < 16; ++i)
    REQUIRE(StoreIn(shared.cache, MakeId(9, i), 100 + i, kNowS + 101));
  CHECK(Content(shared.master.fd()).find(SessionFor(2)) == std::string::npos);
}

TEST_CASE("session IDs: a lifetime made shorter holds at once", "[shm][session_ids]") {
  Shared shared(64, 100);
  REQUIRE(StoreIn(shared.cache, MakeId(0, 1), 1));
  shared.master.SetLifetime(10);
  CHECK_FALSE(FindIn(shared.cache, MakeId(0, 1), kNowS + 11));
}

TEST_CASE("session IDs: a cache of none keeps none", "[shm][session_ids]") {
  Shared shared(0);
  CHECK_FALSE(shared.cache.enabled());
  CHECK(shared.master.slots() == 0);
  CHECK_FALSE(StoreIn(shared.cache, MakeId(0, 1), 1));
  CHECK_FALSE(FindIn(shared.cache, MakeId(0, 1)));
  shared.cache.Forget(MakeId(0, 1), kNowS);
}

TEST_CASE("session IDs: sizes are rounded up", "[shm][session_ids]") {
  CHECK(Shared(1).master.slots() == 4);
  CHECK(Shared(4).master.slots() == 4);
  CHECK(Shared(5).master.slots() == 8);
  CHECK(Shared(20'000).master.slots() == 32'768);
}

TEST_CASE("session IDs: another layout or size is refused", "[shm][session_ids]") {
  Shared shared;
  Raw raw(shared.master.fd());
  auto& header = *reinterpret_cast<SessionIdHeader*>(raw.mapping.mutable_bytes().data());
  header.slots = 128;
  CHECK_FALSE(SessionIdCache::Map(shared.master.fd()));
  header.slots = 64;
  CHECK(SessionIdCache::Map(shared.master.fd()));
  header.layout += 1;
  CHECK_FALSE(SessionIdCache::Map(shared.master.fd()));
}

TEST_CASE("session IDs: the owner wipes them, or hands them over", "[shm][session_ids]") {
  std::optional<SessionIdCacheMaster> master = SessionIdCacheMaster::Create(64, 100).value();
  SessionIdCache cache = SessionIdCache::Map(master->fd()).value();
  REQUIRE(StoreIn(cache, MakeId(0, 1), 1));
  const os::UniqueFd kept(::fcntl(master->fd(), F_DUPFD_CLOEXEC, 0));
  std::optional<SessionIdCacheMaster> successor =
      SessionIdCacheMaster::FromFd(os::UniqueFd(::fcntl(master->fd(), F_DUPFD_CLOEXEC, 0))).value();
  // Until it owns the region a successor that goes leaves all as it was.
  successor.reset();
  CHECK(FindIn(cache, MakeId(0, 1)) == SessionFor(1));
  successor.emplace(
      SessionIdCacheMaster::FromFd(os::UniqueFd(::fcntl(master->fd(), F_DUPFD_CLOEXEC, 0)))
          .value());
  CHECK(successor->slots() == SessionIdCacheMaster::SlotsFor(33));
  successor->Own();
  master->HandOver();
  master.reset();
  CHECK(FindIn(cache, MakeId(0, 1)) == SessionFor(1));
  CHECK(successor->Counts().stores == 1);
  successor.reset();
  CHECK_FALSE(FindIn(cache, MakeId(0, 1)));
  CHECK(Content(kept.get()).find(SessionFor(1)) == std::string::npos);
}

TEST_CASE("session IDs: locked, not dumped, not inherited", "[shm][session_ids]") {
  Shared shared;
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool ours = false;
  int regions = 0;
  while (std::getline(smaps, line)) {
    if (line.find('-') != std::string::npos && line.find(" rw-s ") != std::string::npos) {
      ours = line.find("postern-sessions") != std::string::npos;
    }
    if (!ours || !line.starts_with("VmFlags:")) continue;
    ours = false;
    ++regions;
#ifdef POSTERN_SANITIZED  // whose runtimes make nothing of mlock
    const std::vector<const char*> flags = {" dd", " dc"};
#else
    const std::vector<const char*> flags = {" dd", " dc", " lo"};
#endif
    for (const char* flag : flags) {
      INFO(flag << " in " << line);
      CHECK(line.find(flag) != std::string::npos);
    }
  }
  CHECK(regions == 2);  // the master's and the worker's
}

TEST_CASE("session IDs: a worker killed at any step harms nobody", "[shm][session_ids]") {
  // Steps: 0 claims, 1 has written half, 2 has written all, 3 has released.
  const int step = GENERATE(0, 1, 2, 3);
  Shared shared(4);  // one set
  Raw raw(shared.master.fd());
  for (uint32_t i = 0; i < kSetSlots; ++i) REQUIRE(StoreIn(shared.cache, MakeId(0, i), i));

  SessionSlot& slot = raw.at(0);
  const Id killed = MakeId(0, 77);
  const SlotContent content = ContentFor(killed, 77);
  const uint64_t claim = Claim(slot, slot.state.load(), kNowS);
  REQUIRE(claim != 0);
  if (step == 1) {
    SlotContent half;
    std::memcpy(static_cast<void*>(&half), &content, sizeof half / 2);
    Write(slot, half);
  }
  if (step >= 2) Write(slot, content);
  if (step == 3) REQUIRE(Release(slot, claim));

  // The rest of the set is found, and stored into.
  CHECK(FindIn(shared.cache, killed) == (step == 3 ? std::optional(SessionFor(77)) : std::nullopt));
  for (uint32_t i = 1; i < kSetSlots; ++i) {
    CHECK(FindIn(shared.cache, MakeId(0, i)) == SessionFor(i));
  }
  for (uint32_t i = 10; i < 13; ++i) REQUIRE(StoreIn(shared.cache, MakeId(0, i), i, kNowS + 1));
  for (uint32_t i = 10; i < 13; ++i) {
    CHECK(FindIn(shared.cache, MakeId(0, i), kNowS + 1) == SessionFor(i));
  }
  // Once it is surely gone its slot is taken over.
  for (uint32_t i = 20; i < 24; ++i) {
    REQUIRE(StoreIn(shared.cache, MakeId(0, i), i, kNowS + kAbandonedS + i));
  }
  for (uint32_t i = 20; i < 24; ++i) {
    CHECK(FindIn(shared.cache, MakeId(0, i), kNowS + kAbandonedS + 24) == SessionFor(i));
  }
}

TEST_CASE("session IDs: what a worker killed in wiping left behind is swept",
          "[shm][session_ids]") {
  Shared shared(4);
  Raw raw(shared.master.fd());
  REQUIRE(StoreIn(shared.cache, MakeId(0, 1), 1));
  SessionSlot* slot = &raw.at(0);
  for (size_t i = 1; i < kSetSlots; ++i) {
    if (raw.at(i).words[0].load() != 0) slot = &raw.at(i);
  }
  REQUIRE(Claim(*slot, slot->state.load(), kNowS) != 0);
  slot->words[0].store(0);
  REQUIRE(Content(shared.master.fd()).find(SessionFor(1)) != std::string::npos);
  // Long after, other sessions pass by.
  const uint64_t later_s = kNowS + 1'000'000;
  for (uint32_t i = 2; i < 4; ++i) REQUIRE(StoreIn(shared.cache, MakeId(0, i), i, later_s));
  CHECK(Content(shared.master.fd()).find(SessionFor(1)) == std::string::npos);
}

TEST_CASE("session IDs: all slots of a set claimed by the dead are no obstacle",
          "[shm][session_ids]") {
  Shared shared(4);
  Raw raw(shared.master.fd());
  for (size_t i = 0; i < kSetSlots; ++i) {
    REQUIRE(Claim(raw.at(i), raw.at(i).state.load(), kNowS) != 0);
  }
  CHECK_FALSE(StoreIn(shared.cache, MakeId(0, 1), 1));
  CHECK(shared.master.Counts().refused == 1);
  CHECK(StoreIn(shared.cache, MakeId(0, 1), 1, kNowS + kAbandonedS));
  CHECK(FindIn(shared.cache, MakeId(0, 1), kNowS + kAbandonedS) == SessionFor(1));
}

TEST_CASE("session IDs: a writer that was only stopped is found out", "[shm][session_ids]") {
  Shared shared(4);
  Raw raw(shared.master.fd());
  SessionSlot& slot = raw.at(0);
  const uint64_t stopped = Claim(slot, slot.state.load(), kNowS);
  const uint64_t successor = Claim(slot, stopped, kNowS + kAbandonedS);
  REQUIRE(successor != 0);
  const SlotContent theirs = ContentFor(MakeId(0, 2), 2);
  Write(slot, theirs);
  REQUIRE(Release(slot, successor));
  REQUIRE(FindIn(shared.cache, MakeId(0, 2)) == SessionFor(2));
  // It wakes, writes its session's octets under the other's ID, and has lost its claim.
  SlotContent mixed = ContentFor(MakeId(0, 1), 1);
  mixed.id = theirs.id;
  Write(slot, mixed);
  CHECK_FALSE(Release(slot, stopped));
  CHECK_FALSE(FindIn(shared.cache, MakeId(0, 2)));
}

TEST_CASE("session IDs: processes killed at random leave nothing wrong", "[shm][session_ids]") {
  Shared shared(16, 1000);
  std::mt19937 random(1);
  for (uint64_t round = 0; round < 40; ++round) {
    // What one round leaves claimed the next one may take over.
    const uint64_t now_s = kNowS + round * kAbandonedS;
    std::vector<pid_t> children;
    for (int i = 0; i < 3; ++i) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        // The mapping is not inherited.
        auto cache = SessionIdCache::Map(shared.master.fd());
        if (!cache) ::_exit(1);
        for (uint32_t n = 0;; ++n) {
          const uint32_t number = n % 64;
          StoreIn(*cache, MakeId(static_cast<uint8_t>(number), number), number, now_s);
          const auto found = FindIn(*cache, MakeId(static_cast<uint8_t>(number), number), now_s);
          if (found && *found != SessionFor(number)) ::_exit(2);
        }
      }
      children.push_back(child);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random() % 5000));
    for (const pid_t child : children) {
      ::kill(child, SIGKILL);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      // Not one found a session that was not the one stored.
      CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    }
    for (uint32_t n = 0; n < 64; ++n) {
      const auto found = FindIn(shared.cache, MakeId(static_cast<uint8_t>(n), n), now_s);
      CHECK((!found || *found == SessionFor(n)));
    }
  }
  CHECK(shared.master.Counts().stores > 0);
  // All slots can be had again.
  for (uint32_t n = 0; n < 16; ++n) {
    CHECK(StoreIn(shared.cache, MakeId(static_cast<uint8_t>(n), 1000 + n), n, kNowS + 100));
  }
}

}  // namespace postern::shm
