// The ring. What was considered and rejected, with the measurements, is in docs/ring.md: SQPOLL
// (two cores for one), zero-copy send (copies all the same on most paths), direct accept (its slots
// cannot tell the peer's address before Linux 6.7, and a full table closes what it accepted). So a
// socket is a plain descriptor at birth, where it is given its options and asked its peer's name,
// and a direct one for the rest of its life.
#include "postern/ring/ring.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel_names.h"
#include "postern/base/limits.h"
#include "restrictions.h"

namespace postern::ring {
namespace {

// user_data: a pointer to an Operation, or one of our own marks. Operations are aligned to 8, so
// the low bits are free.
constexpr uint64_t kMarkMask = 7;
constexpr uint64_t kIgnoreMark = 1;
constexpr uint64_t kCloseMark = 2;     // the direct descriptor's number stands above bit 3
constexpr uint64_t kShutdownMark = 3;  // with the Operation's address: a descriptor to shut down

bool HasOperation(io_uring* ring, uint8_t operation) {
  io_uring_probe* probe = ::io_uring_get_probe_ring(ring);
  if (probe == nullptr) return false;
  const bool has =
      operation <= probe->last_op && (probe->ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
  ::io_uring_free_probe(probe);
  return has;
}

constexpr unsigned kSetupFlags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL;

std::unexpected<Error> SetupError(int error_number) {
  switch (error_number) {
    case ENOSYS:
      return Fail("this kernel has no io_uring",
                  "Linux 6.1 or later, built with io_uring, is needed");
    case EINVAL:
      return Fail("this kernel's io_uring is too old", "Linux 6.1 or later is needed");
    case EPERM:
    case EACCES:
      return Fail("io_uring is not permitted here",
                  "set sysctl kernel.io_uring_disabled=0, and in a container allow the io_uring "
                  "system calls in its seccomp profile");
    case ENOMEM:
      return Fail("io_uring cannot lock enough memory",
                  "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=) to 8 MiB or more");
    default:
      return FailErrno("cannot set up io_uring", error_number);
  }
}

unsigned Number(DirectFd fd) { return static_cast<unsigned>(fd); }

}  // namespace

struct Ring::Gather {
  msghdr head;
  iovec pieces[limits::kSendVectors];
};

Result<std::unique_ptr<Ring>> Ring::Create(const RingOptions& options) {
  std::unique_ptr<Ring> ring(new Ring());
  io_uring_params parameters{};
  parameters.flags = kSetupFlags | (options.restricted ? IORING_SETUP_R_DISABLED : 0U);
  parameters.cq_entries = options.completions;
  const int outcome = ::io_uring_queue_init_params(options.entries, &ring->ring_, &parameters);
  if (outcome < 0) return SetupError(-outcome);
  ring->initialized_ = true;
  if ((parameters.features & IORING_FEAT_SUBMIT_STABLE) == 0 ||
      (parameters.features & IORING_FEAT_EXT_ARG) == 0 ||
      (parameters.features & IORING_FEAT_NODROP) == 0) {
    return SetupError(EINVAL);
  }
  ring->installs_ = HasOperation(&ring->ring_, kOpFixedFdInstall);
  // Saves a descriptor look-up per system call; harmless where it fails.
  ::io_uring_register_ring_fd(&ring->ring_);

  const int table = ::io_uring_register_files_sparse(&ring->ring_, options.direct_descriptors);
  if (table < 0) {
    return FailErrno("cannot make io_uring's table of descriptors", -table,
                     table == -EMFILE ? "raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)"
                                      : "Linux 6.1 or later is needed");
  }
  ring->free_direct_.reserve(options.direct_descriptors);
  for (uint32_t i = options.direct_descriptors; i > 0; --i) ring->free_direct_.push_back(i - 1);
  ring->pending_.reserve(options.completions);
  if (!options.restricted) return ring;
  if (const int restricted = Restrict(&ring->ring_, ring->installs_); restricted < 0) {
    return FailErrno("cannot restrict io_uring to the operations that are used", -restricted,
                     "[process] sandbox = \"off\" does without");
  }
  return ring;
}

Ring::~Ring() {
  if (initialized_) ::io_uring_queue_exit(&ring_);
}

// --- Direct descriptors ---

DirectFd Ring::Adopt(os::UniqueFd fd) {
  if (free_direct_.empty()) return DirectFd::kNone;
  const uint32_t place = free_direct_.back();
  int plain = fd.get();
  if (::io_uring_register_files_update(&ring_, place, &plain, 1) != 1) return DirectFd::kNone;
  free_direct_.pop_back();
  return static_cast<DirectFd>(place);
}

void Ring::Close(DirectFd fd) {
  io_uring_sqe* sqe = NextSqe();
  ::io_uring_prep_close_direct(sqe, Number(fd));
  ::io_uring_sqe_set_data64(sqe, (uint64_t{Number(fd)} << 3) | kCloseMark);
}

// --- Requests ---

io_uring_sqe* Ring::NextSqe() {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
  if (sqe != nullptr) return sqe;
  Submit();
  sqe = ::io_uring_get_sqe(&ring_);
  POSTERN_CHECK(sqe != nullptr);
  return sqe;
}

io_uring_sqe* Ring::Begin(Operation& operation) {
  POSTERN_CHECK(!operation.in_flight_);
  operation.in_flight_ = true;
  return NextSqe();
}

void Ring::AcceptMultishot(Operation& operation, int listener) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::AcceptOnce(Operation& operation, int listener) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_accept(sqe, listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::ReceiveMultishot(Operation& operation, DirectFd fd, const BufferPool& pool) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_recv_multishot(sqe, static_cast<int>(Number(fd)), nullptr, 0, 0);
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe->buf_group = pool.group();
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::ReceiveOnce(Operation& operation, DirectFd fd, const BufferPool& pool, size_t size) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_recv(sqe, static_cast<int>(Number(fd)), nullptr, size, 0);
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe->buf_group = pool.group();
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::ReceiveNow(Operation& operation, DirectFd fd, std::span<const iovec> pieces) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_recvmsg(sqe, static_cast<int>(Number(fd)), Gathered(pieces), MSG_DONTWAIT);
  sqe->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data(sqe, &operation);
}

// A message head over `pieces` that stays until the next submit.
msghdr* Ring::Gathered(std::span<const iovec> pieces) {
  POSTERN_CHECK(!pieces.empty() && pieces.size() <= limits::kSendVectors);
  if (gathers_used_ == gathers_.size()) gathers_.push_back(std::make_unique<Gather>());
  Gather& gather = *gathers_[gathers_used_++];
  gather.head = msghdr{};
  std::copy(pieces.begin(), pieces.end(), gather.pieces);
  gather.head.msg_iov = gather.pieces;
  gather.head.msg_iovlen = pieces.size();
  return &gather.head;
}

void Ring::Send(Operation& operation, DirectFd fd, std::span<const iovec> pieces, bool wait) {
  POSTERN_CHECK(!pieces.empty());
  const int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);
  io_uring_sqe* sqe = Begin(operation);
  if (pieces.size() == 1) {
    ::io_uring_prep_send(sqe, static_cast<int>(Number(fd)), pieces[0].iov_base, pieces[0].iov_len,
                         flags);
  } else {
    ::io_uring_prep_sendmsg(sqe, static_cast<int>(Number(fd)), Gathered(pieces),
                            static_cast<unsigned>(flags));
  }
  sqe->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::Connect(Operation& operation, DirectFd fd, const sockaddr* address, socklen_t size) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_connect(sqe, static_cast<int>(Number(fd)), address, size);
  sqe->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::Abort(Operation& operation, DirectFd fd) {
  static constexpr sockaddr kNowhere{AF_UNSPEC, {}};
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_connect(sqe, static_cast<int>(Number(fd)), &kNowhere, sizeof kNowhere);
  sqe->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data(sqe, &operation);
}

// IORING_OP_SHUTDOWN always runs in a thread of its own, which costs more than all the rest of a
// short connection's end. With a plain descriptor, made for that moment, the system call does it at
// once.
void Ring::ShutdownSend(Operation& operation, DirectFd fd) {
  if (!installs_) {
    ShutdownAsynchronously(operation, Number(fd));
    return;
  }
  io_uring_sqe* sqe = Begin(operation);
  operation.direct_ = Number(fd);
  ::io_uring_prep_rw(kOpFixedFdInstall, sqe, static_cast<int>(Number(fd)), nullptr, 0, 0);
  sqe->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data64(sqe, reinterpret_cast<uint64_t>(&operation) | kShutdownMark);
}

void Ring::ShutdownAsynchronously(Operation& operation, unsigned direct) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_shutdown(sqe, static_cast<int>(direct), SHUT_WR);
  sqe->flags |= IOSQE_FIXED_FILE;
  ::io_uring_sqe_set_data(sqe, &operation);
}

// The plain descriptor is there, or there was none to be had. True when the shutdown is done.
bool Ring::ShutdownInstalled(Operation& operation, Completion& completion) {
  if (completion.result < 0) {
    operation.in_flight_ = false;
    ShutdownAsynchronously(operation, operation.direct_);
    return false;
  }
  const os::UniqueFd plain(completion.result);
  completion.result = ::shutdown(plain.get(), SHUT_WR) == 0 ? 0 : -errno;
  return true;
}

void Ring::PollMultishot(Operation& operation, int fd, uint32_t events) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_poll_multishot(sqe, fd, events);
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::Write(Operation& operation, int fd, Bytes bytes) {
  io_uring_sqe* sqe = Begin(operation);
  ::io_uring_prep_write(sqe, fd, bytes.data(), static_cast<unsigned>(bytes.size()),
                        static_cast<uint64_t>(-1));
  ::io_uring_sqe_set_data(sqe, &operation);
}

void Ring::Cancel(Operation& operation) {
  if (!operation.in_flight_) return;
  io_uring_sqe* sqe = NextSqe();
  ::io_uring_prep_cancel(sqe, &operation, 0);
  ::io_uring_sqe_set_data64(sqe, kIgnoreMark);
}

// --- The loop ---

void Ring::Submit() {
  while (::io_uring_sq_ready(&ring_) > 0) {
    const int outcome = ::io_uring_submit(&ring_);
    if (outcome > 0) continue;
    if (outcome == 0) break;
    if (outcome == -EINTR) continue;
    // The completion side is full or memory is short: make room, then try again.
    POSTERN_CHECK(outcome == -EBUSY || outcome == -EAGAIN || outcome == -ENOMEM);
    Drain();
    ::io_uring_get_events(&ring_);
  }
  if (::io_uring_sq_ready(&ring_) == 0) gathers_used_ = 0;
}

void Ring::Drain() {
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    pending_.push_back({cqe->user_data, {cqe->res, cqe->flags}});
    ++seen;
  }
  ::io_uring_cq_advance(&ring_, seen);
}

void Ring::Wait(std::optional<uint64_t> timeout_ms) {
  // Completions that Submit took in between must not wait behind a sleep.
  if (!pending_.empty()) timeout_ms = 0;
  __kernel_timespec limit{};
  if (timeout_ms) {
    limit.tv_sec = static_cast<int64_t>(*timeout_ms / 1000);
    limit.tv_nsec = static_cast<int64_t>(*timeout_ms % 1000) * 1'000'000;
  }
  io_uring_cqe* first = nullptr;
  ::io_uring_submit_and_wait_timeout(&ring_, &first, 1, timeout_ms ? &limit : nullptr, nullptr);
  if (::io_uring_sq_ready(&ring_) == 0) gathers_used_ = 0;
  Drain();
}

size_t Ring::Dispatch() {
  // Handlers may submit, and a submit that finds the completion side full drains into pending_
  // again: those run in this same turn, behind the others.
  size_t done = 0;
  while (done < pending_.size()) {
    const Pending next = pending_[done++];
    Complete(next);
  }
  pending_.clear();
  return done;
}

void Ring::Complete(const Pending& pending) {
  const uint64_t mark = pending.data & kMarkMask;
  if (mark == kIgnoreMark) return;
  if (mark == kCloseMark) {
    free_direct_.push_back(static_cast<uint32_t>(pending.data >> 3));
    return;
  }
  auto* operation = reinterpret_cast<Operation*>(pending.data & ~kMarkMask);
  POSTERN_CHECK(operation->in_flight_);
  Completion completion = pending.completion;
  if (mark == kShutdownMark && !ShutdownInstalled(*operation, completion)) return;
  if (!completion.more()) operation->in_flight_ = false;
  operation->handler_(operation->owner_, completion);
}

}  // namespace postern::ring
