// IntrusiveList: membership without allocation. The node lives in the member, an object is on at
// most one list per node, and unlinking is O(1) without knowing the list.
#pragma once

#include <cstddef>

#include "postern/base/check.h"

namespace postern {

// ListNode is a link in a circular list; unlinked it points at itself. Destroying a linked node
// unlinks it.
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { Unlink(); }

  bool linked() const { return next_ != this; }

  void Unlink() {
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = this;
  }

 private:
  template <typename T, ListNode T::*Node>
  friend class IntrusiveList;

  ListNode* prev_ = this;
  ListNode* next_ = this;
};

// IntrusiveList<T, &T::node_> borrows its members; they must unlink (or die) before it does.
template <typename T, ListNode T::*Node>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return !head_.linked(); }

  void PushBack(T& item) {
    ListNode& node = item.*Node;
    POSTERN_CHECK(!node.linked());
    node.prev_ = head_.prev_;
    node.next_ = &head_;
    head_.prev_->next_ = &node;
    head_.prev_ = &node;
  }

  // Front and PopFront return nullptr when the list is empty.
  T* Front() const { return empty() ? nullptr : FromNode(head_.next_); }

  T* PopFront() {
    T* item = Front();
    if (item != nullptr) (item->*Node).Unlink();
    return item;
  }

  // Next returns the member behind `item`, or nullptr at the end.
  T* Next(const T& item) const {
    ListNode* next = (item.*Node).next_;
    return next == &head_ ? nullptr : FromNode(next);
  }

  // TakeAll moves every member of `other` to the end of this list.
  void TakeAll(IntrusiveList& other) {
    while (T* item = other.PopFront()) PushBack(*item);
  }

 private:
  static T* FromNode(ListNode* node) {
    // The offset of the node within T; taken from a pointer that is never read through.
    alignas(T) static constexpr unsigned char kShape[sizeof(T)] = {};
    const T* shape = reinterpret_cast<const T*>(kShape);
    const auto offset = reinterpret_cast<const unsigned char*>(&(shape->*Node)) - kShape;
    return reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(node) - offset);
  }

  ListNode head_;
};

}  // namespace postern
