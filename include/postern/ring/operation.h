// Operation: a caller-owned place where completions of one request arrive.
#pragma once

#include <liburing.h>

#include <cstdint>

#include "postern/base/check.h"

namespace postern::ring {

// Completion is one result of a request; `result` is as the system call would return it, or -errno.
struct Completion {
  int32_t result = 0;
  uint32_t flags = 0;

  // More completions follow for the same request (multishot).
  bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
  bool has_buffer() const { return (flags & IORING_CQE_F_BUFFER) != 0; }
  uint16_t buffer_id() const { return static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT); }
};

// An Operation carries at most one request at a time. It must stay where it is while in_flight();
// destroying it then is a bug. Handlers run one after another from Ring::Dispatch, never inside
// another handler or inside a Ring call.
class Operation {
 public:
  using Handler = void (*)(void* owner, Completion completion);

  Operation(void* owner, Handler handler) : owner_(owner), handler_(handler) {}
  ~Operation() { POSTERN_CHECK(!in_flight_); }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool in_flight() const { return in_flight_; }

 private:
  friend class Ring;
  void* owner_;
  Handler handler_;
  uint32_t direct_ = 0;  // while a shutdown is in flight: whose
  bool in_flight_ = false;
};

// Calls<&Class::Method> is a Handler that calls owner->Method(completion).
template <auto Method>
struct HandlerOf;
template <typename Class, void (Class::*Method)(Completion)>
struct HandlerOf<Method> {
  static void Call(void* owner, Completion completion) {
    (static_cast<Class*>(owner)->*Method)(completion);
  }
};
template <auto Method>
inline constexpr Operation::Handler Calls = &HandlerOf<Method>::Call;

}  // namespace postern::ring
