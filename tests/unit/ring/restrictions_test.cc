#include "ring/restrictions.h"

#include <fcntl.h>
#include <liburing.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <string_view>

#include "postern/ring/buffer_pool.h"
#include "postern/ring/ring.h"
#include "tests/unit/catch.h"

namespace postern::ring {
namespace {

std::unique_ptr<Ring> MakeRestricted() {
  auto ring =
      Ring::Create({.entries = 8, .completions = 64, .direct_descriptors = 8, .restricted = true});
  if (!ring) FAIL(ring.error().ToString());
  return std::move(*ring);
}

// Submits what `prepare` makes and returns its result.
template <typename Prepare>
int Outcome(Ring& ring, Prepare prepare) {
  io_uring_sqe* request = ::io_uring_get_sqe(ring.native());
  REQUIRE(request != nullptr);
  prepare(request);
  REQUIRE(::io_uring_submit_and_wait(ring.native(), 1) >= 0);
  io_uring_cqe* completion = nullptr;
  REQUIRE(::io_uring_peek_cqe(ring.native(), &completion) == 0);
  const int result = completion->res;
  ::io_uring_cqe_seen(ring.native(), completion);
  return result;
}

struct Outcomes {
  Outcomes() : operation(this, Calls<&Outcomes::On>) {}
  void On(Completion completion) { last = completion.result; }
  Operation operation;
  int last = 0;
};

int Run(Ring& ring, const Outcomes& waiter) {
  for (int i = 0; i < 200 && waiter.operation.in_flight(); ++i) {
    ring.Wait(100);
    ring.Dispatch();
  }
  REQUIRE_FALSE(waiter.operation.in_flight());
  return waiter.last;
}

}  // namespace

TEST_CASE("ring restrictions: operations that Postern does not use are refused") {
  const auto ring = MakeRestricted();
  CHECK(Outcome(*ring, [](io_uring_sqe* request) {
          ::io_uring_prep_openat(request, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
        }) == -EACCES);
  CHECK(Outcome(*ring, [](io_uring_sqe* request) {
          ::io_uring_prep_unlinkat(request, AT_FDCWD, "/nonexistent", 0);
        }) == -EACCES);
  CHECK(Outcome(*ring, [](io_uring_sqe* request) { ::io_uring_prep_nop(request); }) == -EACCES);
  // A flag that Postern does not use, on an operation that it does.
  CHECK(Outcome(*ring, [](io_uring_sqe* request) {
          ::io_uring_prep_shutdown(request, -1, SHUT_WR);
          request->flags |= IOSQE_ASYNC;
        }) == -EACCES);
}

TEST_CASE("ring restrictions: registrations that Postern does not use are refused, for good") {
  const auto ring = MakeRestricted();
  std::array<std::byte, 64> memory{};
  const iovec piece{memory.data(), memory.size()};
  CHECK(::io_uring_register_buffers(ring->native(), &piece, 1) == -EACCES);
  io_uring_restriction more{};
  more.opcode = IORING_RESTRICTION_SQE_OP;
  more.sqe_op = IORING_OP_OPENAT;
  const int fd = ring->native()->ring_fd;
  CHECK(::syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, &more, 1) < 0);
  CHECK(::syscall(SYS_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0);
}

TEST_CASE("ring restrictions: all that Ring asks for goes on") {
  const auto ring = MakeRestricted();
  const auto pool = BufferPool::Create(ring->native(), {.group = 1, .count = 4, .length = 64});
  REQUIRE(pool);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const os::UniqueFd peer(ends[1]);
  const DirectFd fd = ring->Adopt(os::UniqueFd(ends[0]));
  REQUIRE(fd != DirectFd::kNone);

  Outcomes poll;
  ring->PollMultishot(poll.operation, peer.get(), 1);
  Outcomes send;
  char text[] = "hello";
  const iovec whole{text, 5};
  ring->Send(send.operation, fd, {&whole, 1}, true);
  CHECK(Run(*ring, send) == 5);
  const std::array<iovec, 2> parts = {iovec{text, 2}, iovec{text + 2, 3}};
  ring->Send(send.operation, fd, parts, true);
  CHECK(Run(*ring, send) == 5);
  Outcomes write;
  ring->Write(write.operation, peer.get(), AsBytes(std::string_view("abc")));
  CHECK(Run(*ring, write) == 3);
  Outcomes receive;
  ring->ReceiveOnce(receive.operation, fd, **pool);
  CHECK(Run(*ring, receive) == 3);
  ring->ReceiveNow(receive.operation, fd, {&whole, 1});
  CHECK(Run(*ring, receive) == -EAGAIN);
  ring->ReceiveMultishot(receive.operation, fd, **pool);
  ring->Cancel(receive.operation);
  CHECK(Run(*ring, receive) == -ECANCELED);
  Outcomes half_close;
  ring->ShutdownSend(half_close.operation, fd);
  CHECK(Run(*ring, half_close) == 0);
  ring->Cancel(poll.operation);
  CHECK(Run(*ring, poll) != -EACCES);
  const uint32_t free = ring->direct_free();
  ring->Close(fd);
  for (int i = 0; i < 50 && ring->direct_free() == free; ++i) {
    ring->Wait(100);
    ring->Dispatch();
  }
  CHECK(ring->direct_free() == free + 1);

  Outcomes accept;
  const os::UniqueFd no_listener(::socket(AF_INET, SOCK_STREAM, 0));
  ring->AcceptOnce(accept.operation, no_listener.get());
  CHECK(Run(*ring, accept) == -EINVAL);
  ring->AcceptMultishot(accept.operation, no_listener.get());
  CHECK(Run(*ring, accept) == -EINVAL);
  Outcomes connect;
  const DirectFd stream = ring->Adopt(os::UniqueFd(::socket(AF_INET, SOCK_STREAM, 0)));
  sockaddr broadcast{AF_UNIX, {}};
  ring->Connect(connect.operation, stream, &broadcast, sizeof broadcast);
  CHECK(Run(*ring, connect) == -EAFNOSUPPORT);
}

}  // namespace postern::ring
