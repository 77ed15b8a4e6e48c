#include "postern/base/intrusive_list.h"

#include "tests/unit/catch.h"

namespace postern {
namespace {

struct Item {
  explicit Item(int v) : value(v) {}
  int value;
  ListNode a;
  ListNode b;
};

}  // namespace

TEST_CASE("intrusive list: order, membership, and members that die") {
  IntrusiveList<Item, &Item::a> list;
  IntrusiveList<Item, &Item::b> other;
  Item one(1), two(2);
  {
    Item three(3);
    list.PushBack(one);
    list.PushBack(three);
    list.PushBack(two);
    other.PushBack(two);
    CHECK(list.Next(one) == &three);
    CHECK(three.a.linked());
  }
  CHECK(list.Next(one) == &two);
  CHECK(list.Next(two) == nullptr);
  CHECK(list.PopFront() == &one);
  CHECK_FALSE(one.a.linked());
  list.PushBack(one);
  IntrusiveList<Item, &Item::a> moved;
  moved.TakeAll(list);
  CHECK(list.empty());
  CHECK(moved.Front() == &two);
  CHECK(other.Front() == &two);
}

}  // namespace postern
