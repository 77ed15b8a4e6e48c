#include "postern/shm/ticket_keys.h"

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "shm/ticket_page.h"
#include "tests/unit/catch.h"

namespace postern::shm {
namespace {

TicketKeyMaster MakeMaster() {
  auto master = TicketKeyMaster::Create();
  REQUIRE(master);
  return std::move(*master);
}

TicketKeys MapKeys(const TicketKeyMaster& master) {
  auto keys = TicketKeys::Map(master.fd());
  REQUIRE(keys);
  return std::move(*keys);
}

TicketKey CurrentOf(const TicketKeys& keys) {
  const std::optional<TicketKey> current = keys.Current();
  REQUIRE(current);
  return *current;
}
TicketKey CurrentOf(const TicketKeyMaster& master) { return CurrentOf(MapKeys(master)); }

// A key as a file may bring it.
TicketKey KeyOf(uint8_t octet) {
  TicketKey key;
  key.name.fill(std::byte{octet});
  key.aes.fill(std::byte{octet});
  key.hmac.fill(std::byte{octet});
  return key;
}

}  // namespace

TEST_CASE("A fresh page has one random current key", "[shm][ticket_keys]") {
  const TicketKeyMaster master = MakeMaster();
  const TicketKeys keys = MapKeys(master);
  const TicketKey current = CurrentOf(keys);
  CHECK(current.name != TicketKey{}.name);
  CHECK(current.aes != TicketKey{}.aes);
  CHECK(current.hmac != TicketKey{}.hmac);
  const auto found = keys.Find(current.name);
  REQUIRE(found);
  CHECK(found->current);
  CHECK(found->key.aes == current.aes);
  CHECK(found->key.hmac == current.hmac);

  const TicketKeyMaster another = MakeMaster();
  CHECK(CurrentOf(another).aes != current.aes);
}

TEST_CASE("Rotation keeps three previous keys and retires the fourth", "[shm][ticket_keys]") {
  TicketKeyMaster master = MakeMaster();
  const TicketKeys keys = MapKeys(master);
  const TicketKey first = CurrentOf(keys);
  for (int rotation = 1; rotation <= 3; ++rotation) {
    REQUIRE(master.Rotate());
    CHECK(CurrentOf(keys).name != first.name);
    const auto found = keys.Find(first.name);
    REQUIRE(found);
    CHECK_FALSE(found->current);
    CHECK(found->key.aes == first.aes);
    CHECK(found->key.hmac == first.hmac);
  }
  REQUIRE(master.Rotate());
  CHECK_FALSE(keys.Find(first.name));
}

TEST_CASE("A renewal leaves one key, and a worker never meets a page without",
          "[shm][ticket_keys]") {
  TicketKeyMaster master = MakeMaster();
  const std::array files = {KeyOf(1), KeyOf(2)};
  const TicketKeys keys = MapKeys(master);
  std::atomic<bool> stop{false};
  std::atomic<size_t> reads{0};
  std::atomic<size_t> without{0};
  std::thread reader([&] {
    while (!stop.load()) {
      if (!keys.Current()) ++without;
      ++reads;
    }
  });
  for (unsigned round = 0; round < 2'000 || reads.load() < 100; ++round) {
    master.Use(files);
    REQUIRE(master.Renew());
  }
  stop = true;
  reader.join();
  CHECK(without.load() == 0);
  CHECK(CurrentOf(keys).aes != files[0].aes);
  CHECK_FALSE(keys.Find(files[0].name));
  CHECK_FALSE(keys.Find(files[1].name));
}

TEST_CASE("The next key opens before it seals", "[shm][ticket_keys]") {
  TicketKeyMaster master = MakeMaster();
  const TicketKeys keys = MapKeys(master);
  auto mapping = os::MapFd(master.fd(), os::MapMode::kReadOnly);
  REQUIRE(mapping);
  const auto next = [&] {
    TicketKeySet set;
    Snapshot(*reinterpret_cast<const TicketPage*>(mapping->bytes().data()), set);
    return set[kNextKey];
  };
  const TicketKey promised = next();
  CHECK(promised.name != CurrentOf(keys).name);
  const auto early = keys.Find(promised.name);
  REQUIRE(early);
  CHECK(early->current);  // nothing to renew: it is newer than ours
  CHECK(early->key.aes == promised.aes);

  REQUIRE(master.Rotate());
  CHECK(CurrentOf(keys).name == promised.name);
  CHECK(CurrentOf(keys).hmac == promised.hmac);
  CHECK(next().name != promised.name);

  // By order, what was in the page before does not come to seal.
  const TicketKey passed_over = next();
  REQUIRE(master.RotateAnew());
  CHECK(CurrentOf(keys).name != passed_over.name);
  CHECK_FALSE(keys.Find(passed_over.name));
  CHECK(keys.Find(promised.name));

  // Files name all keys themselves.
  const std::array files = {KeyOf(1), KeyOf(2), KeyOf(3), KeyOf(4)};
  master.Use(files);
  CHECK(next().name == TicketKey{}.name);
  CHECK(CurrentOf(keys).name == files[0].name);
  CHECK(keys.Find(files[3].name));
  REQUIRE(master.Rotate());
  CHECK(CurrentOf(keys).name != TicketKey{}.name);
  CHECK(next().name != TicketKey{}.name);
  CHECK_FALSE(keys.Find(files[3].name));
}

TEST_CASE("Every mapping sees a rotation", "[shm][ticket_keys]") {
  TicketKeyMaster master = MakeMaster();
  const TicketKeys one = MapKeys(master);
  const TicketKeys two = MapKeys(master);
  CHECK(CurrentOf(one).name == CurrentOf(two).name);
  REQUIRE(master.Rotate());
  CHECK(CurrentOf(one).name == CurrentOf(two).name);
}

TEST_CASE("Unknown names and the name of an empty slot find nothing", "[shm][ticket_keys]") {
  const TicketKeyMaster master = MakeMaster();
  const TicketKeys keys = MapKeys(master);
  TicketKey other;
  CHECK_FALSE(keys.Find(other.name));
  other.name.fill(std::byte{0x5A});
  CHECK_FALSE(keys.Find(other.name));
}

TEST_CASE("A retired key leaves no copy in the page", "[shm][ticket_keys]") {
  TicketKeyMaster master = MakeMaster();
  const TicketKeys keys = MapKeys(master);
  const TicketKey first = CurrentOf(keys);
  auto page = os::MapFd(master.fd(), os::MapMode::kReadOnly);
  REQUIRE(page);
  const auto holds = [&](const std::array<std::byte, 32>& secret) {
    return memmem(page->bytes().data(), page->size(), secret.data(), secret.size()) != nullptr;
  };
  CHECK(holds(first.aes));
  for (size_t i = 0; i < kTicketKeyCount; ++i) REQUIRE(master.Rotate());
  CHECK_FALSE(holds(first.aes));
  CHECK_FALSE(holds(first.hmac));
}

TEST_CASE("The page is wiped when its master goes", "[shm][ticket_keys]") {
  auto master = std::make_unique<TicketKeyMaster>(MakeMaster());
  const TicketKeys keys = MapKeys(*master);
  const TicketKey current = CurrentOf(keys);
  master.reset();
  CHECK_FALSE(keys.Find(current.name));
  CHECK_FALSE(keys.Current());  // not zeros, which everybody knows
}

TEST_CASE("A moved master keeps its keys, a replaced one loses them", "[shm][ticket_keys]") {
  TicketKeyMaster first = MakeMaster();
  const TicketKeys keys = MapKeys(first);
  const TicketKey current = CurrentOf(keys);
  TicketKeyMaster second = std::move(first);
  CHECK(keys.Find(current.name));
  second = MakeMaster();
  CHECK_FALSE(keys.Find(current.name));
}

TEST_CASE("Workers cannot map the page for writing", "[shm][ticket_keys]") {
  const TicketKeyMaster master = MakeMaster();
  CHECK_FALSE(os::MapFd(master.fd(), os::MapMode::kShared));
}

TEST_CASE("A page of another layout is refused", "[shm][ticket_keys]") {
  auto other = os::MakeShared("other", sizeof(TicketPage));
  REQUIRE(other);
  const auto keys = TicketKeys::Map(other->get());
  REQUIRE_FALSE(keys);
  CHECK(keys.error().what.find("layout") != std::string::npos);
  auto tiny = os::MakeShared("tiny", 8);
  REQUIRE(tiny);
  CHECK_FALSE(TicketKeys::Map(tiny->get()));
}

TEST_CASE("A reader never sees half of a rotation", "[shm][ticket_keys]") {
  auto page = std::make_unique<TicketPage>();
  // Every octet of a set has the value of its round: a torn read shows two values.
  const auto publish = [&](uint8_t round) {
    TicketKeySet set;
    std::memset(static_cast<void*>(set.data()), round, sizeof(set));
    Publish(*page, set);
  };
  publish(1);
  std::atomic<bool> stop{false};
  std::atomic<size_t> reads{0};
  std::atomic<size_t> torn{0};
  std::thread reader([&] {
    while (!stop.load()) {
      TicketKeySet seen;
      Snapshot(*page, seen);
      const auto* octets = reinterpret_cast<const unsigned char*>(seen.data());
      for (size_t i = 1; i < sizeof(seen); ++i) {
        if (octets[i] != octets[0] || octets[0] == 0) ++torn;
      }
      ++reads;
    }
  });
  for (unsigned round = 0; round < 20'000 || reads.load() < 100; ++round) {
    publish(static_cast<uint8_t>(1 + round % 255));
  }
  stop = true;
  reader.join();
  CHECK(torn.load() == 0);
}

TEST_CASE("A master that takes another's place opens and seals with its keys",
          "[shm][ticket_keys]") {
  TicketKeyMaster old_master = MakeMaster();
  REQUIRE(old_master.Rotate());
  const TicketKey current = CurrentOf(old_master);
  TicketKeyMaster new_master = MakeMaster();
  const TicketKeys keys = MapKeys(new_master);
  const TicketKey own = CurrentOf(keys);
  REQUIRE(new_master.Inherit(old_master.fd()));
  CHECK(CurrentOf(keys).name == current.name);
  CHECK(CurrentOf(keys).aes == current.aes);
  CHECK_FALSE(keys.Find(own.name));

  // Each rotates for itself from then on; the first time to the same key, which the other opens.
  REQUIRE(new_master.Rotate());
  CHECK(CurrentOf(old_master).name == current.name);
  CHECK(MapKeys(old_master).Find(CurrentOf(keys).name));
  const auto found = keys.Find(current.name);
  REQUIRE(found);
  CHECK_FALSE(found->current);
}

TEST_CASE("A page of another layout is not inherited, and changes nothing", "[shm][ticket_keys]") {
  auto other = os::MakeShared("other", sizeof(TicketPage));
  REQUIRE(other);
  auto small = os::MakeShared("small", 8);
  REQUIRE(small);
  TicketKeyMaster master = MakeMaster();
  const TicketKey before = CurrentOf(master);
  CHECK_FALSE(master.Inherit(other->get()));
  CHECK_FALSE(master.Inherit(small->get()));
  CHECK(CurrentOf(master).name == before.name);
}

TEST_CASE("A page without keys is not inherited: everybody would know them", "[shm][ticket_keys]") {
  auto blank = os::MakeShared("blank", sizeof(TicketPage));
  REQUIRE(blank);
  auto page = os::MapFd(blank->get(), os::MapMode::kShared);
  REQUIRE(page);
  reinterpret_cast<TicketPage*>(page->mutable_bytes().data())->layout = kTicketPageLayout;
  TicketKeyMaster master = MakeMaster();
  const TicketKey before = CurrentOf(master);
  CHECK_FALSE(master.Inherit(blank->get()));
  CHECK(CurrentOf(master).name == before.name);
}

}  // namespace postern::shm
