// Background: one piece of work at a time on a thread of its own, so that slow disks and resolvers
// hold up no supervision.
//
// The thread is detached and shares its state by a counted pointer: a resolver can keep it for
// minutes, and the master's end must not wait for that. One thread per piece and not a standing
// one, since the work is rare and an idle thread would still be one more to fork beside.
#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "master/shortage.h"
#include "postern/base/check.h"
#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::master {

template <typename Outcome>
class Background {
 public:
  using Function = std::function<Outcome()>;

  static Result<Background> Create() {
    Background made;
    made.shared_->event.Reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!made.shared_->event.valid()) return FailErrno("cannot make an eventfd", errno);
    return made;
  }

  // Readable when an outcome waits.
  int fd() const { return shared_->event.get(); }
  bool busy() const { return busy_; }

  // Start runs `function` on a new thread; only when not busy. It must own what it uses. When it
  // runs out of memory all that it has made goes, and `without_memory` makes the outcome: in Take,
  // since a thread that has come to nothing may not even get a few octets of its own.
  Status Start(Function function, Function without_memory) {
    POSTERN_CHECK(!busy_);
    try {
      without_memory_ = std::move(without_memory);
      // Signals are blocked in the thread as in its maker: they all come by signalfd.
      std::thread([shared = shared_, work = std::move(function)] {
        std::optional<Outcome> outcome;
        {
          const BackgroundWork under_way;
          try {
            outcome.emplace(work());
          } catch (const std::bad_alloc&) {
            outcome.reset();
          }
        }
        const std::lock_guard lock(shared->mutex);
        shared->done = true;
        shared->outcome = std::move(outcome);
        ::eventfd_write(shared->event.get(), 1);
      }).detach();
    } catch (const std::system_error& error) {
      return Fail(std::string("cannot start a thread: ") + error.what());
    } catch (const std::bad_alloc&) {
      return Fail("cannot start a thread: there is no memory");
    }
    busy_ = true;
    return {};
  }

  // Take returns the outcome when there is one; Start may be called again then.
  std::optional<Outcome> Take() {
    eventfd_t ignored = 0;
    ::eventfd_read(shared_->event.get(), &ignored);
    std::optional<Outcome> outcome;
    {
      const std::lock_guard lock(shared_->mutex);
      if (!std::exchange(shared_->done, false)) return std::nullopt;
      outcome = std::exchange(shared_->outcome, std::nullopt);
    }
    busy_ = false;
    if (!outcome) outcome.emplace(without_memory_());
    return outcome;
  }

 private:
  // What thread and owner share; the thread may outlive the owner.
  struct Shared {
    os::UniqueFd event;
    std::mutex mutex;
    bool done = false;
    std::optional<Outcome> outcome;  // nothing: there was no memory
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  bool busy_ = false;
  Function without_memory_;
};

}  // namespace postern::master
