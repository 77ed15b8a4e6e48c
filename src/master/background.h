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
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

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

  // Start runs `function` on a new thread; only when not busy. It must own what it uses.
  Status Start(Function function) {
    POSTERN_CHECK(!busy_);
    try {
      // Signals are blocked in the thread as in its maker: they all come by signalfd.
      std::thread([shared = shared_, work = std::move(function)] {
        Outcome outcome = work();
        const std::lock_guard lock(shared->mutex);
        shared->outcome = std::move(outcome);
        ::eventfd_write(shared->event.get(), 1);
      }).detach();
    } catch (const std::system_error& error) {
      return Fail(std::string("cannot start a thread: ") + error.what());
    }
    busy_ = true;
    return {};
  }

  // Take returns the outcome when there is one; Start may be called again then.
  std::optional<Outcome> Take() {
    eventfd_t ignored = 0;
    ::eventfd_read(shared_->event.get(), &ignored);
    const std::lock_guard lock(shared_->mutex);
    std::optional<Outcome> outcome = std::exchange(shared_->outcome, std::nullopt);
    if (outcome) busy_ = false;
    return outcome;
  }

 private:
  // What thread and owner share; the thread may outlive the owner.
  struct Shared {
    os::UniqueFd event;
    std::mutex mutex;
    std::optional<Outcome> outcome;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  bool busy_ = false;
};

}  // namespace postern::master
