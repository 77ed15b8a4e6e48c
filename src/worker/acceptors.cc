// Accepting is multishot on plain descriptors (why: src/ring/ring.cc), one by one near a limit.
// Nothing here closes a connection that was accepted: when descriptors or memory run short
// accepting stops, and who waits in the socket's queue goes on waiting.
#include "acceptors.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "postern/base/limits.h"
#include "postern/base/log.h"
#include "postern/os/socket.h"

namespace postern::worker {
namespace {

// How long accepting rests after the system had no descriptor or memory for a connection.
constexpr uint64_t kBackOffMs = 200;
// When nothing has been missing for so long, it is over.
constexpr uint64_t kCalmMs = 5'000;
// Descriptors that are left to those who are here already, for their back ends.
constexpr rlim_t kReserved = 64;

// A connection whose descriptor has at least this number was one of the last to be had. (The lowest
// free number is taken first.)
int DescriptorCeiling() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
  return static_cast<int>(limit.rlim_cur - std::min(limit.rlim_cur / 8, kReserved));
}

// Whether two descriptors are of one socket. The address does not tell: "::" that becomes "*" is
// another socket on the same address.
bool SameSocket(int a, int b) {
  struct stat first {};
  struct stat second {};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

bool Exhausted(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
         error_number == ENOMEM;
}

}  // namespace

struct Acceptors::Acceptor {
  Acceptor(Acceptors& acceptors, os::UniqueFd socket, ViewPtr on, uint32_t number)
      : owner(acceptors),
        operation(this,
                  [](void* self, ring::Completion completion) {
                    auto* acceptor = static_cast<Acceptor*>(self);
                    acceptor->owner.OnAccept(*acceptor, completion);
                  }),
        fd(std::move(socket)),
        view(std::move(on)),
        socket_number(number) {}

  const os::SocketAddress& address() const {
    return view->settings->sockets()[socket_number].address;
  }
  uint32_t listener() const { return view->settings->sockets()[socket_number].listener; }

  Acceptors& owner;
  ring::Operation operation;
  os::UniqueFd fd;
  ViewPtr view;
  uint32_t socket_number;
  bool retired = false;
};

Acceptors::Acceptors(ring::Ring& ring, ring::TimerWheel& timers, shm::WorkerCounters& counters,
                     const uint64_t& now_ms, Hooks hooks)
    : ring_(ring),
      timers_(timers),
      counters_(counters),
      now_ms_(now_ms),
      hooks_(std::move(hooks)),
      back_off_(this, [](void* self) { static_cast<Acceptors*>(self)->EndBackOff(); }),
      calm_(this, [](void* self) { static_cast<Acceptors*>(self)->Calm(); }),
      ceiling_(DescriptorCeiling()) {}

Acceptors::~Acceptors() = default;

void Acceptors::Switch(const ViewPtr& view, std::vector<NumberedSocket> sockets) {
  std::vector<std::unique_ptr<Acceptor>> old;
  old.swap(acceptors_);
  for (NumberedSocket& socket : sockets) {
    const auto same = std::find_if(old.begin(), old.end(), [&](const auto& acceptor) {
      return acceptor != nullptr && !acceptor->retired &&
             SameSocket(acceptor->fd.get(), socket.fd.get());
    });
    if (same != old.end()) {
      (*same)->view = view;
      (*same)->socket_number = socket.number;
      acceptors_.push_back(std::move(*same));
    } else {
      acceptors_.push_back(
          std::make_unique<Acceptor>(*this, std::move(socket.fd), view, socket.number));
    }
  }
  std::vector<Acceptor*> gone;
  for (std::unique_ptr<Acceptor>& acceptor : old) {
    if (acceptor == nullptr) continue;
    if (!acceptor->retired) gone.push_back(acceptor.get());
    acceptors_.push_back(std::move(acceptor));
  }
  for (Acceptor* acceptor : gone) Retire(*acceptor);
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) Arm(*acceptor);
}

void Acceptors::Arm(Acceptor& acceptor) {
  if (acceptor.operation.in_flight() || acceptor.retired || paused_ || back_off_.armed()) return;
  if (one_by_one_) {
    ring_.AcceptOnce(acceptor.operation, acceptor.fd.get());
  } else {
    ring_.AcceptMultishot(acceptor.operation, acceptor.fd.get());
  }
}

void Acceptors::OnAccept(Acceptor& acceptor, ring::Completion completion) {
  if (completion.result >= 0) {
    Take(acceptor, os::UniqueFd(completion.result));
  } else if (completion.result != -ECANCELED) {
    const int error_number = -completion.result;
    counters_.accept_errors.Add();
    if (Exhausted(error_number)) {
      BackOff(error_number);
    } else if (error_number == EINVAL || error_number == EBADF || error_number == ENOTSOCK) {
      // The socket no longer listens; arming again would spin.
      LogLine(LogLevel::kError, "listening socket failed")
          .Field("address", acceptor.address().ToString())
          .Field("reason", ErrnoText(error_number));
      return;
    }
    // Everything else concerns one connection that broke before we took it (accept(2)).
  }
  if (completion.more()) return;
  if (acceptor.retired) {
    Reap(acceptor, true);
  } else {
    Arm(acceptor);
  }
}

void Acceptors::Take(Acceptor& acceptor, os::UniqueFd fd) {
  counters_.accepted.Add();
  if (fd.get() >= ceiling_) {
    BackOff(EMFILE);
    for (const std::unique_ptr<Acceptor>& other : acceptors_) ring_.Cancel(other->operation);
  }
  hooks_.before();  // may move this acceptor to another view, or retire it
  const os::SocketAddress peer = os::PeerAddress(fd.get());
  if (peer.family() == AF_UNSPEC) return;  // reset while it waited: nothing to serve
  hooks_.admit({std::move(fd), peer, acceptor.view, acceptor.listener()});
}

// Said once, however long it lasts.
void Acceptors::BackOff(int error_number) {
  timers_.Arm(calm_, now_ms_ + kCalmMs);
  if (back_off_.armed()) return;
  counters_.accept_paused.Add();
  timers_.Arm(back_off_, now_ms_ + kBackOffMs);
  if (exhausted_) return;
  exhausted_ = true;
  LogLine(LogLevel::kWarning, "accepting paused")
      .Field("reason", ErrnoText(error_number))
      .Field("remedy", error_number == EMFILE ? "raise RLIMIT_NOFILE or lower limits.connections"
                                              : "free memory or descriptors on this machine");
}

void Acceptors::Calm() {
  exhausted_ = false;
  LogLine(LogLevel::kNotice, "accepting again").Field("reason", "nothing is missing any more");
}

void Acceptors::EndBackOff() {
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) Arm(*acceptor);
}

void Acceptors::Pause() {
  if (paused_) return;
  paused_ = true;
  counters_.accept_paused.Add();
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) ring_.Cancel(acceptor->operation);
}

void Acceptors::Resume() {
  if (!paused_) return;
  paused_ = false;
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) Arm(*acceptor);
}

void Acceptors::SetRoom(size_t room) {
  const bool one_by_one = room <= static_cast<size_t>(limits::kAcceptQueue);
  if (one_by_one == one_by_one_) return;
  one_by_one_ = one_by_one;
  if (!one_by_one) return;  // a single accept ends by itself
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) ring_.Cancel(acceptor->operation);
}

void Acceptors::Retire(Acceptor& acceptor) {
  acceptor.retired = true;
  if (acceptor.operation.in_flight()) {
    ring_.Cancel(acceptor.operation);  // Reap follows with its last completion
  } else {
    Reap(acceptor, false);
  }
}

// Takes what waits in the queue of a socket that accepts no more. The master closes its descriptor
// after all workers have answered, so nobody is reset who came before the switch.
//
// Where another process has the socket, too, its queue is that one's, but for one thing: a
// connection that arrives wakes one of those who wait in accept. It may have been us, just before
// the cancellation, and then nobody wakes the other for it. So who `was_waiting` looks.
void Acceptors::Reap(Acceptor& acceptor, bool was_waiting) {
  if (leave_queues_ && !was_waiting) acceptor.fd.Reset();
  while (acceptor.fd.valid()) {
    os::UniqueFd fd(::accept4(acceptor.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      Take(acceptor, std::move(fd));
      // With little room one was waited for, so that no more than one was missed.
      if (leave_queues_ && one_by_one_) acceptor.fd.Reset();
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    acceptor.fd.Reset();
  }
}

void Acceptors::Stop(bool leave_queues) {
  leave_queues_ = leave_queues;
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) {
    if (!acceptor->retired) Retire(*acceptor);
  }
}

void Acceptors::Collect() {
  std::erase_if(acceptors_, [](const std::unique_ptr<Acceptor>& acceptor) {
    return acceptor->retired && !acceptor->operation.in_flight();
  });
}

}  // namespace postern::worker
