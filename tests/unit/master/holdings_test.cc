#include "master/holdings.h"

#include <algorithm>

#include "tests/unit/catch.h"
#include "tests/unit/master/parts.h"

namespace postern::master {
namespace {

using generation::PartKind;
using generation::PartPtr;

std::vector<generation::PartId> Ids(const Holdings& holdings) {
  std::vector<generation::PartId> ids;
  for (const Holdings::Live& live : holdings.List()) ids.push_back(live.part->id());
  return ids;
}

// A reader's view of a key part, which outlives the part and so sees it wiped.
os::Mapping Watch(const PartPtr& part) {
  auto mapping = os::MapFd(part->fd(), os::MapMode::kReadOnly);
  REQUIRE(mapping);
  return std::move(*mapping);
}
bool Wiped(const os::Mapping& keys) {
  return std::all_of(keys.bytes().begin(), keys.bytes().end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

TEST_CASE("holdings: keys live until the last worker lets go, and are wiped then") {
  Holdings holdings;
  PartPtr keys = MakePart(3, PartKind::kKeys);
  const os::Mapping watch = Watch(keys);
  holdings.Sent(0, 1, {keys});
  holdings.Sent(1, 1, {keys});
  keys.reset();
  REQUIRE(holdings.List().size() == 1);
  CHECK(holdings.List()[0].workers == std::set<uint32_t>{0, 1});

  holdings.Released(0, 3);
  CHECK_FALSE(Wiped(watch));
  holdings.Died(1);
  CHECK(Wiped(watch));
  CHECK(holdings.List().empty());
}

TEST_CASE("holdings: what the master serves stays, whatever workers say") {
  Holdings holdings;
  const auto first = MakeGeneration(1);
  holdings.Pin(1, first->parts);
  holdings.Sent(0, 1, first->parts);
  holdings.Released(0, 11);
  holdings.Released(0, 12);
  CHECK(Ids(holdings) == std::vector<generation::PartId>{11, 12});
  CHECK(holdings.List()[0].workers.empty());
  holdings.Unpin(1);
  CHECK(holdings.List().empty());
}

TEST_CASE("holdings: segments that generations share list only those that live") {
  Holdings holdings;
  const PartPtr segment = MakePart(5, PartKind::kCertificates);
  for (uint64_t number = 1; number <= 3; ++number) {
    const auto generation = MakeGeneration(number, {segment});
    holdings.Pin(number, generation->parts);
    holdings.Sent(0, number, generation->parts);
    holdings.Switched(0, number);
    if (number > 1) holdings.Unpin(number - 1);
  }
  // Connections of generation 1 are still there; those of 2 have ended.
  holdings.Released(0, 12);
  holdings.Released(0, 21);
  holdings.Released(0, 22);
  CHECK(Ids(holdings) == std::vector<generation::PartId>{5, 11, 31, 32});
  CHECK(holdings.List()[0].generations == std::set<uint64_t>{1, 3});
  CHECK(holdings.List()[1].generations == std::set<uint64_t>{1});
  holdings.Released(0, 11);
  CHECK(holdings.List()[0].generations == std::set<uint64_t>{3});
}

TEST_CASE("holdings: a part of the generation that a worker serves is held, whatever it unmaps") {
  Holdings holdings;
  const PartPtr segment = MakePart(5, PartKind::kIndex);
  holdings.Sent(0, 1, {segment});
  holdings.Sent(0, 2, {segment});
  holdings.Switched(0, 2);
  holdings.Released(0, 5);  // the mapping of generation 1
  REQUIRE(holdings.List().size() == 1);
  CHECK(holdings.List()[0].workers == std::set<uint32_t>{0});
  holdings.Switched(0, 3);
  holdings.Released(0, 5);
  CHECK(holdings.List().empty());
}

TEST_CASE("holdings: an aborted generation leaves nothing, what it shared stays") {
  Holdings holdings;
  const PartPtr segment = MakePart(5, PartKind::kCertificates);
  PartPtr keys = MakePart(6, PartKind::kKeys);
  const os::Mapping watch = Watch(keys);
  const auto first = MakeGeneration(1, {segment});
  holdings.Pin(1, first->parts);
  holdings.Sent(0, 1, first->parts);
  {
    const auto second = MakeGeneration(2, {segment, std::move(keys)});
    holdings.Pin(2, second->parts);
    holdings.Sent(0, 2, second->parts);
  }
  CHECK(Ids(holdings) == std::vector<generation::PartId>{5, 6, 11, 12, 21, 22});
  holdings.Forget(2);
  CHECK(Ids(holdings) == std::vector<generation::PartId>{5, 11, 12});
  CHECK(holdings.List()[0].workers == std::set<uint32_t>{0});
  CHECK(Wiped(watch));
}

TEST_CASE("holdings: releasing what is not there changes nothing") {
  Holdings holdings;
  holdings.Released(0, 99);
  holdings.Died(7);
  holdings.Unpin(3);
  holdings.Forget(3);
  CHECK(holdings.List().empty());
}

}  // namespace postern::master
