#include "postern/shm/address_table.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "shm/address_layout.h"
#include "shm/siphash.h"
#include "tests/unit/catch.h"

namespace postern::shm {
namespace {

constexpr uint64_t kNow = 1'000'000;
constexpr uint32_t kNone = AddressTable::kNoSlot;

AddressKey Client(const std::string& ip) {
  return *AddressKey::OfClient(*os::SocketAddress::FromIp(ip, 1234));
}

bool Same(const AddressKey& a, const AddressKey& b) {
  return std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin());
}

struct Tables {
  explicit Tables(uint32_t slots = 1024, uint32_t workers = 2)
      : master(std::move(*AddressTableMaster::Create(slots, workers))) {
    for (uint32_t i = 0; i < workers; ++i) {
      views.push_back(std::move(*AddressTable::Map(master.fd(), i)));
    }
  }
  AddressTableMaster master;
  std::vector<AddressTable> views;
};

AddressTableHeader& HeaderIn(os::Mapping& mapping) {
  return *reinterpret_cast<AddressTableHeader*>(mapping.mutable_bytes().data());
}
AddressSlots SlotsIn(os::Mapping& mapping) {
  return {mapping.mutable_bytes().data(), HeaderIn(mapping)};
}

// Addresses that lie in the same few slots: one table with a single set has no others.
constexpr uint32_t kOneSet = kWays;

}  // namespace

TEST_CASE("siphash: the value that its authors give") {
  std::array<std::byte, 15> message;
  for (size_t i = 0; i < message.size(); ++i) message[i] = std::byte(i);
  const SipKey key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  CHECK(SipHash(key, message) == 0xa129ca6149be45e5);
  CHECK(SipHash(key, {}) == 0x726fdb47dd0e0e31);
}

TEST_CASE("address table: who is one client and who is another") {
  CHECK(Same(Client("192.0.2.1"), Client("::ffff:192.0.2.1")));
  CHECK_FALSE(Same(Client("192.0.2.1"), Client("192.0.2.2")));
  CHECK(Same(Client("2001:db8:1:2::1"), Client("2001:db8:1:2:ffff::9")));
  CHECK_FALSE(Same(Client("2001:db8:1:2::1"), Client("2001:db8:1:3::1")));
  CHECK_FALSE(AddressKey::OfClient(*os::SocketAddress::FromUnixPath("/x")));
  const AddressKey client = Client("192.0.2.1");
  CHECK_FALSE(Same(client, client.At("imaps")));
  CHECK_FALSE(Same(client.At("imaps"), client.At("pop3s")));
  CHECK_FALSE(Same(AddressKey::OfListener("imaps"), AddressKey::OfListener("pop3s")));
  CHECK_FALSE(Same(AddressKey::OfListener("imaps"), Client("::").At("imaps")));
}

TEST_CASE("address table: connections of all workers are counted") {
  Tables tables;
  const AddressKey key = Client("192.0.2.1");
  const uint32_t slot = tables.views[0].Enter(key, kNow);
  REQUIRE(slot != kNone);
  CHECK(tables.views[1].Enter(key, kNow) == slot);
  CHECK(tables.views[1].Enter(key, kNow) == slot);
  CHECK(tables.views[0].Connections(slot) == 3);
  CHECK(tables.views[0].Enter(Client("192.0.2.2"), kNow) != slot);
  tables.views[1].Leave(slot, kNow);
  CHECK(tables.views[0].Connections(slot) == 2);
  // What a dead worker held is gone, and nothing else.
  tables.master.Forget(1);
  CHECK(tables.views[0].Connections(slot) == 1);
  tables.views[0].Leave(slot, kNow);
  CHECK(tables.views[0].Connections(slot) == 0);
  CHECK(tables.master.Look(kNow).used == 2);
}

TEST_CASE(
    "address table: connections of an address that has two slots for a while count together") {
  Tables tables(kOneSet, 4);
  const AddressKey key = Client("192.0.2.1");
  const uint32_t slot = tables.views[0].Enter(key, kNow);
  CHECK(tables.views[1].Enter(key, kNow) == slot);
  // Two others inserted it elsewhere at the same moment, and each counts where it was first.
  auto mapping = os::MapFd(tables.master.fd(), os::MapMode::kShared);
  AddressSlots layout = SlotsIn(*mapping);
  const uint32_t second = slot == 0 ? 1 : 0;
  REQUIRE(layout.Tag(second).load() == 0);
  const uint64_t tag = layout.Tag(slot).load();
  layout.Count(second, 2).fetch_add(3);
  layout.Tag(second).store(tag);
  CHECK(tables.views[0].Connections(slot) == 5);
  CHECK(tables.views[2].Connections(second) == 5);
  // One of them is about to give it back, and may not.
  layout.Tag(second).store(ClaimOf(2, tag));
  CHECK(tables.views[0].Connections(slot) == 5);
  CHECK(tables.views[0].Enter(Client("192.0.2.2"), kNow) != second);
}

TEST_CASE("address table: the quiet make room, those with connections do not") {
  Tables tables(kOneSet, 1);
  AddressTable& table = tables.views[0];
  std::vector<uint32_t> slots;
  for (uint32_t i = 0; i < kWays; ++i) {
    slots.push_back(table.Enter(Client("192.0.2." + std::to_string(i)), kNow));
    REQUIRE(slots.back() != kNone);
  }
  CHECK(table.Enter(Client("198.51.100.1"), kNow) == kNone);
  // The second and third leave; the second has been quiet for longer.
  table.Leave(slots[1], kNow + 5'000);
  table.Leave(slots[2], kNow + 9'000);
  CHECK(table.Enter(Client("198.51.100.1"), kNow + 10'000) == slots[1]);
  CHECK(table.Connections(slots[1]) == 1);
  CHECK(table.Enter(Client("198.51.100.2"), kNow + 10'000) == slots[2]);
  CHECK(tables.master.Look(kNow).used == kWays);
}

TEST_CASE("address table: listeners are counted however many addresses there are") {
  Tables tables(kOneSet, 2);
  AddressTable& table = tables.views[0];
  for (uint32_t i = 0; i < kWays; ++i) {
    REQUIRE(table.Enter(Client("192.0.2." + std::to_string(i)), kNow) != kNone);
  }
  REQUIRE(table.Enter(Client("198.51.100.1"), kNow) == kNone);
  const AddressKey mail = AddressKey::OfListener("mail");
  const uint32_t slot = table.Enter(mail, kNow);
  REQUIRE(slot != kNone);
  CHECK(tables.views[1].Enter(mail, kNow) == slot);
  CHECK(table.Connections(slot) == 2);
  tables.master.Forget(1);
  CHECK(table.Connections(slot) == 1);
  CHECK(tables.master.Look(kNow).used == kWays);  // addresses alone

  // All that there is room for, and one more; none of them takes an address's place.
  for (uint32_t i = 1; i < kListenerWays; ++i) {
    REQUIRE(table.Enter(AddressKey::OfListener(std::to_string(i)), kNow) != kNone);
  }
  CHECK(table.Enter(AddressKey::OfListener("one too many"), kNow) == kNone);
  CHECK(tables.views[1].Enter(mail, kNow) == slot);
  // One without connections, of a configuration that is gone, makes room.
  const uint32_t old = table.Enter(AddressKey::OfListener("7"), kNow);
  table.Leave(old, kNow);
  table.Leave(old, kNow);
  CHECK(table.Enter(AddressKey::OfListener("new"), kNow) == old);
}

TEST_CASE("address table: totals of all workers, without what the dead had") {
  Tables tables(kOneSet, 3);
  CHECK(tables.views[0].Add(Total::kConnections) == 1);
  CHECK(tables.views[1].Add(Total::kConnections) == 2);
  CHECK(tables.views[1].Add(Total::kConnections) == 3);
  CHECK(tables.views[2].Add(Total::kHandshakes) == 1);
  CHECK(tables.views[2].Sum(Total::kConnections) == 3);
  tables.master.Forget(1);
  CHECK(tables.views[2].Sum(Total::kConnections) == 1);
  CHECK(tables.views[2].Sum(Total::kHandshakes) == 1);
  tables.views[0].Take(Total::kConnections);
  tables.views[0].Take(Total::kConnections);  // one too many, as after a worker that wrote here
  CHECK(tables.views[0].Sum(Total::kConnections) == 0);
  CHECK(tables.master.Look(kNow).used == 0);
}

TEST_CASE("address table: who has to pause is forgotten last, and a new address begins anew") {
  Tables tables(kOneSet, 1);
  AddressTable& table = tables.views[0];
  const PenaltyRule rule{1, 60'000, 600'000, 600'000};
  const uint32_t bad = table.Enter(Client("192.0.2.0"), kNow);
  REQUIRE(table.Fail(bad, rule, kNow) == 600'000U);
  table.Leave(bad, kNow);
  for (uint32_t i = 1; i < kWays; ++i) {
    const uint32_t slot = table.Enter(Client("192.0.2." + std::to_string(i)), kNow + 20'000);
    CHECK(slot != bad);
    if (i != 1) continue;
    table.Leave(slot, kNow + 20'000);
  }
  // Two are without connections: the bad one, longest ago, and another.
  const uint32_t taken = table.Enter(Client("198.51.100.1"), kNow + 30'000);
  CHECK(taken != bad);
  CHECK(tables.master.Look(kNow).paused == 1);
  // With nobody else to go it goes, and nothing of it stays.
  CHECK(table.Enter(Client("198.51.100.2"), kNow + 30'000) == bad);
  CHECK(table.PausedUntilMs(bad, kNow + 30'000) == 0);
}

TEST_CASE("address table: tokens come evenly, and a burst is allowed") {
  Tables tables;
  const uint32_t slot = tables.views[0].Enter(Client("192.0.2.1"), kNow);
  for (int i = 0; i < 5; ++i) {
    // Of all workers together.
    CHECK(tables.views[static_cast<size_t>(i % 2)].TakeToken(slot, 2, 5, kNow));
  }
  CHECK_FALSE(tables.views[0].TakeToken(slot, 2, 5, kNow));
  CHECK_FALSE(tables.views[1].TakeToken(slot, 2, 5, kNow + 499));
  CHECK(tables.views[1].TakeToken(slot, 2, 5, kNow + 500));
  CHECK_FALSE(tables.views[0].TakeToken(slot, 2, 5, kNow + 999));
  CHECK(tables.views[0].TakeToken(slot, 2, 5, kNow + 1'000));
  // After a rest the burst is there again, and no more than it.
  int taken = 0;
  while (tables.views[0].TakeToken(slot, 2, 5, kNow + 3'600'000)) ++taken;
  CHECK(taken == 5);
}

TEST_CASE("address table: failures bring pauses that grow") {
  Tables tables;
  AddressTable& table = tables.views[0];
  const PenaltyRule rule{3, 60'000, 10'000, 35'000};
  const uint32_t slot = table.Enter(Client("192.0.2.1"), kNow);
  uint64_t now = kNow;
  CHECK_FALSE(table.Fail(slot, {}, now));  // no rule
  for (const uint64_t pause : {10'000, 20'000, 35'000, 35'000}) {
    CHECK_FALSE(table.Fail(slot, rule, now));
    CHECK_FALSE(table.Fail(slot, rule, now));
    CHECK(table.PausedUntilMs(slot, now) == 0);
    CHECK(table.Fail(slot, rule, now) == pause);
    CHECK(tables.views[1].PausedUntilMs(slot, now) == now + pause);
    CHECK_FALSE(table.Fail(slot, rule, now + 1));  // from before the pause
    CHECK(table.PausedUntilMs(slot, now + pause - 1) == now + pause);
    now += pause;
    CHECK(table.PausedUntilMs(slot, now) == 0);
  }
  // After a long quiet time all begins anew.
  now += 61'000;
  CHECK_FALSE(table.Fail(slot, rule, now));
  CHECK_FALSE(table.Fail(slot, rule, now));
  CHECK(table.Fail(slot, rule, now) == 10'000U);
}

TEST_CASE("address table: failures far apart lead to nothing") {
  Tables tables;
  const PenaltyRule rule{3, 60'000, 10'000, 600'000};
  const uint32_t slot = tables.views[0].Enter(Client("192.0.2.1"), kNow);
  for (uint64_t i = 0; i < 50; ++i) {
    CHECK_FALSE(tables.views[0].Fail(slot, rule, kNow + i * 20'000));
  }
}

TEST_CASE("address table: refusals are told once in a while, with their number") {
  Tables tables;
  const uint32_t slot = tables.views[0].Enter(Client("192.0.2.1"), kNow);
  CHECK(tables.views[0].NoteRefusal(slot, 60'000, kNow) == 1);
  for (int i = 0; i < 9; ++i) CHECK(tables.views[1].NoteRefusal(slot, 60'000, kNow + 59'000) == 0);
  CHECK(tables.views[1].NoteRefusal(slot, 60'000, kNow + 60'000) == 10);
}

TEST_CASE("address table: what is no table is refused") {
  auto other = os::MakeShared("other", 65'536);
  REQUIRE(other);
  CHECK_FALSE(AddressTable::Map(other->get(), 0));
  auto small = os::MakeShared("small", 16);
  REQUIRE(small);
  CHECK_FALSE(AddressTable::Map(small->get(), 0));
  const Tables tables(1024, 2);
  CHECK_FALSE(AddressTable::Map(tables.master.fd(), 2));  // there are two workers
}

TEST_CASE("address table: what a worker writes over it leads nobody astray") {
  Tables tables(1024, 2);
  const uint32_t slot = tables.views[0].Enter(Client("192.0.2.1"), kNow);
  auto mapping = os::MapFd(tables.master.fd(), os::MapMode::kShared);
  for (std::byte& octet : mapping->mutable_bytes()) octet = std::byte{0xff};
  // Sense is not asked for, only that nobody leaves the mapping or ends.
  for (AddressTable& view : tables.views) {
    view.Leave(slot, kNow);
    for (int i = 0; i < 100; ++i) {
      const uint32_t other = view.Enter(Client("192.0.2." + std::to_string(i)), kNow);
      CHECK((other == kNone || other < 1024));
    }
  }
  tables.master.Forget(1);
  CHECK(tables.master.Look(kNow).slots == 1024);
  CHECK_FALSE(AddressTable::Map(tables.master.fd(), 0));
  for (std::byte& octet : mapping->mutable_bytes()) octet = std::byte{0};
  tables.views[0].Leave(slot, kNow);  // its count is gone
  CHECK(tables.views[0].Connections(slot) == 0);
}

TEST_CASE("address table: a slot that a dead worker had claimed is its address's again") {
  Tables tables(kOneSet, 2);
  const uint32_t slot = tables.views[1].Enter(Client("192.0.2.1"), kNow);
  tables.views[1].Leave(slot, kNow);
  auto mapping = os::MapFd(tables.master.fd(), os::MapMode::kShared);
  AddressSlots layout = SlotsIn(*mapping);
  const uint64_t tag = layout.Tag(slot).load();
  layout.Tag(slot).store(ClaimOf(1, tag));
  CHECK(tables.views[0].Enter(Client("192.0.2.1"), kNow) != slot);
  tables.master.Forget(1);
  CHECK(layout.Tag(slot).load() == tag);
}

namespace {

constexpr uint32_t kVisitors = 6;
constexpr uint32_t kAddresses = 24;  // for 16 slots: they push one another out
constexpr uint32_t kLimit = 6;

// What children tell the test, in memory that both see.
struct Board {
  std::atomic<uint64_t> entered[kVisitors];
  // Connections of each address that were let in, as the table must have them or more: eight bits
  // for each worker, so that one addition counts and sees all others of that instant.
  std::atomic<uint64_t> held[kAddresses];
  std::atomic<uint64_t> passed;  // how often there were more than the limit
  std::atomic<bool> stop;
};

uint64_t OneOf(uint32_t worker) { return uint64_t{1} << (8 * worker); }

uint32_t SumOf(uint64_t held) {
  uint32_t sum = 0;
  for (; held != 0; held >>= 8) sum += static_cast<uint32_t>(held & 0xff);
  return sum;
}

// Enters and leaves at random until told to stop, then leaves all. What is let in is counted after
// the table has it and before the table loses it.
[[noreturn]] void Visit(int fd, uint32_t worker, Board& board) {
  AddressTable table = std::move(*AddressTable::Map(fd, worker));
  std::minstd_rand random(worker + 1);
  struct Held {
    uint32_t slot;
    uint32_t address;
  };
  std::vector<Held> held;
  const auto leave = [&](const Held& visit) {
    board.held[visit.address].fetch_sub(OneOf(worker));
    table.Leave(visit.slot, kNow);
  };
  while (!board.stop.load()) {
    if (held.size() < 12 && random() % 2 == 0) {
      const auto address = static_cast<uint32_t>(random() % kAddresses);
      const uint32_t slot =
          table.Enter(Client("10.0.0." + std::to_string(address)), kNow + random() % 5'000);
      if (slot != kNone && table.Connections(slot) > kLimit) {
        table.Leave(slot, kNow);
      } else if (slot != kNone) {
        held.push_back({slot, address});
        const uint64_t one = OneOf(worker);
        if (SumOf(board.held[address].fetch_add(one) + one) > kLimit) board.passed.fetch_add(1);
      }
      board.entered[worker].fetch_add(1);
    } else if (!held.empty()) {
      const size_t which = random() % held.size();
      leave(held[which]);
      held[which] = held.back();
      held.pop_back();
    }
  }
  for (const Held& visit : held) leave(visit);
  ::_exit(0);
}

}  // namespace

TEST_CASE("address table: workers that are killed leave nothing behind, and no limit is passed") {
  constexpr uint32_t kWorkers = kVisitors;
  Tables tables(2 * kWays, kWorkers);
  void* shared =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(shared != MAP_FAILED);
  auto& board = *new (shared) Board();
  std::array<pid_t, kWorkers> workers{};
  const auto start = [&](uint32_t worker) {
    workers[worker] = ::fork();
    if (workers[worker] == 0) Visit(tables.master.fd(), worker, board);
  };
  for (uint32_t worker = 0; worker < kWorkers; ++worker) start(worker);
  for (uint32_t round = 0; round < 40; ++round) {
    const uint32_t worker = round % kWorkers;
    const uint64_t before = board.entered[worker].load();
    while (board.entered[worker].load() < before + 500) ::usleep(100);
    REQUIRE(::kill(workers[worker], SIGKILL) == 0);
    REQUIRE(::waitpid(workers[worker], nullptr, 0) == workers[worker]);
    for (std::atomic<uint64_t>& held : board.held) held.fetch_and(~(0xff * OneOf(worker)));
    tables.master.Forget(worker);
    start(worker);
  }
  board.stop.store(true);
  for (const pid_t pid : workers) {
    int status = -1;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
  }
  CHECK(board.passed.load() == 0);
  for (const std::atomic<uint64_t>& held : board.held) CHECK(held.load() == 0);
  auto mapping = os::MapFd(tables.master.fd(), os::MapMode::kShared);
  AddressSlots layout = SlotsIn(*mapping);
  for (uint32_t slot = 0; slot < layout.slots(); ++slot) {
    CHECK(layout.Sum(slot) == 0);
    CHECK((layout.Tag(slot).load() & kClaimed) == 0);
  }
  // And the table is as good as new.
  for (uint32_t i = 0; i < 3; ++i) {
    const uint32_t slot = tables.views[0].Enter(Client("10.0.0.7"), kNow);
    REQUIRE(slot != kNone);
    CHECK(tables.views[0].Connections(slot) == i + 1);
  }
  ::munmap(shared, sizeof(Board));
}

}  // namespace postern::shm
