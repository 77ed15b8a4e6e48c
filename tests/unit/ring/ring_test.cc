#include "postern/ring/ring.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <deque>
#include <string>
#include <vector>

#include "postern/os/socket.h"
#include "tests/unit/catch.h"

namespace postern::ring {
namespace {

// Waiter records the completions of one operation.
struct Waiter {
  Waiter() : operation(this, Calls<&Waiter::On>) {}
  void On(Completion completion) { completions.push_back(completion); }
  Operation operation;
  std::vector<Completion> completions;
};

std::unique_ptr<Ring> MakeRing(uint32_t direct = 64) {
  Result<std::unique_ptr<Ring>> ring =
      Ring::Create({.entries = 64, .completions = 256, .direct_descriptors = direct});
  if (!ring) FAIL(ring.error().ToString());
  return std::move(*ring);
}

// Turns the ring until `done`, or fails after 20 seconds.
template <typename Done>
void TurnUntil(Ring& ring, Done done) {
  for (int i = 0; i < 200 && !done(); ++i) {
    ring.Wait(100);
    ring.Dispatch();
  }
  REQUIRE(done());
}

struct Connected {
  os::UniqueFd client;
  os::UniqueFd server;
};

Connected TcpPair() {
  const auto listener = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(listener);
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  REQUIRE(::getsockname(listener->get(), address, &size) == 0);
  Connected pair;
  pair.client = os::UniqueFd(::socket(AF_INET, SOCK_STREAM, 0));
  REQUIRE(::connect(pair.client.get(), address, size) == 0);
  pollfd wait{listener->get(), POLLIN, 0};
  REQUIRE(::poll(&wait, 1, 10'000) == 1);
  pair.server = os::UniqueFd(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK));
  REQUIRE(pair.server.valid());
  return pair;
}

std::unique_ptr<BufferPool> MakePool(Ring& ring, uint32_t count, size_t length = 1024) {
  auto pool = BufferPool::Create(ring.native(), {.group = 7, .count = count, .length = length});
  if (!pool) FAIL(pool.error().ToString());
  return std::move(*pool);
}

}  // namespace

TEST_CASE("ring: multishot receive into pool buffers, then the end of the stream") {
  const auto ring = MakeRing();
  const auto pool = MakePool(*ring, 4);
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  REQUIRE(fd != DirectFd::kNone);
  Waiter receive;
  ring->ReceiveMultishot(receive.operation, fd, *pool);
  for (const std::string text : {"first", "second"}) {
    REQUIRE(::write(pair.client.get(), text.data(), text.size()) ==
            static_cast<ssize_t>(text.size()));
    const size_t before = receive.completions.size();
    TurnUntil(*ring, [&] { return receive.completions.size() > before; });
    const Completion got = receive.completions.back();
    REQUIRE(got.result == static_cast<int>(text.size()));
    REQUIRE(got.has_buffer());
    CHECK(got.more());
    const Slot slot = pool->Take(got.buffer_id());
    CHECK(AsText(pool->Filled(slot, text.size())) == text);
    CHECK(pool->available() == 3);
  }
  CHECK(pool->available() == 4);
  pair.client.Reset();
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  CHECK(receive.completions.back().result == 0);
  ring->Close(fd);
  TurnUntil(*ring, [&] { return ring->direct_free() == 64; });
}

TEST_CASE("ring: a pool without buffers ends the receive and takes nothing") {
  const auto ring = MakeRing();
  const auto pool = MakePool(*ring, 2, 4);
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  Waiter receive;
  ring->ReceiveMultishot(receive.operation, fd, *pool);
  REQUIRE(::write(pair.client.get(), "aaaabbbbcccc", 12) == 12);
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  REQUIRE(receive.completions.size() == 3);
  CHECK(receive.completions[2].result == -ENOBUFS);
  CHECK(pool->available() == 2);  // nobody has taken them out of the completions yet
  {
    const Slot one = pool->Take(receive.completions[0].buffer_id());
    CHECK(pool->exhausted() == 0);
    const Slot other = pool->Take(receive.completions[1].buffer_id());
    pool->Widen();  // as after any -ENOBUFS: but now everything is held
    CHECK(pool->exhausted() == 1);
  }
  receive.completions.clear();
  ring->ReceiveOnce(receive.operation, fd, *pool);
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  REQUIRE(receive.completions[0].result == 4);
  const Slot slot = pool->Take(receive.completions[0].buffer_id());
  CHECK(AsText(pool->Filled(slot, 4)) == "cccc");
  ring->Close(fd);
}

TEST_CASE("ring: a receive of what is there fills piece after piece and does not wait") {
  const auto ring = MakeRing();
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  std::string first(3, '.');
  std::string second(8, '.');
  const iovec pieces[2] = {{first.data(), first.size()}, {second.data(), second.size()}};
  Waiter receive;
  ring->ReceiveNow(receive.operation, fd, pieces);
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  CHECK(receive.completions[0].result == -EAGAIN);
  REQUIRE(::write(pair.client.get(), "abcdefg", 7) == 7);
  receive.completions.clear();
  ring->ReceiveNow(receive.operation, fd, pieces);
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  CHECK(receive.completions[0].result == 7);
  CHECK(first == "abc");
  CHECK(second == "defg....");
  ring->Close(fd);
}

TEST_CASE("ring: a single receive takes no more than it asks for") {
  const auto ring = MakeRing();
  const auto pool = MakePool(*ring, 4);
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  REQUIRE(::write(pair.client.get(), "abcdefg", 7) == 7);
  for (const std::string text : {"abc", "defg"}) {
    Waiter receive;
    ring->ReceiveOnce(receive.operation, fd, *pool, text == "abc" ? 3 : 0);
    TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
    REQUIRE(receive.completions[0].result == static_cast<int>(text.size()));
    const Slot slot = pool->Take(receive.completions[0].buffer_id());
    CHECK(AsText(pool->Filled(slot, text.size())) == text);
  }
  ring->Close(fd);
}

TEST_CASE("ring: a shutdown ends our direction only, with descriptors to spare or without") {
  const bool spare = GENERATE(true, false);
  const auto ring = MakeRing();
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (!spare) {
    // Room for no descriptor beyond those that are open.
    rlimit none = limit;
    none.rlim_cur = 3;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  Waiter shutdown;
  ring->ShutdownSend(shutdown.operation, fd);
  TurnUntil(*ring, [&] { return !shutdown.operation.in_flight(); });
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  REQUIRE(shutdown.completions.size() == 1);
  CHECK(shutdown.completions[0].result == 0);
  char octet = 0;
  CHECK(::read(pair.client.get(), &octet, 1) == 0);
  REQUIRE(::write(pair.client.get(), "x", 1) == 1);
  Waiter receive;
  const iovec piece{&octet, 1};
  TurnUntil(*ring, [&] {
    if (octet == 'x') return true;
    if (!receive.operation.in_flight()) ring->ReceiveNow(receive.operation, fd, {&piece, 1});
    return false;
  });
  CHECK(octet == 'x');
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  ring->Close(fd);
}

TEST_CASE("ring: a full descriptor table refuses, and a closed place can be used again") {
  const auto ring = MakeRing(1);
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  REQUIRE(fd != DirectFd::kNone);
  Connected other = TcpPair();
  CHECK(ring->Adopt(std::move(other.server)) == DirectFd::kNone);
  ring->Close(fd);
  TurnUntil(*ring, [&] { return ring->direct_free() == 1; });
  Connected third = TcpPair();
  CHECK(ring->Adopt(std::move(third.server)) != DirectFd::kNone);
}

TEST_CASE("ring: cancelled operations complete once, with ECANCELED") {
  const auto ring = MakeRing();
  const auto pool = MakePool(*ring, 4);
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  Waiter receive;
  ring->ReceiveMultishot(receive.operation, fd, *pool);
  ring->Cancel(receive.operation);
  TurnUntil(*ring, [&] { return !receive.operation.in_flight(); });
  REQUIRE(receive.completions.size() == 1);
  CHECK(receive.completions[0].result == -ECANCELED);
  ring->Cancel(receive.operation);  // not in flight: nothing happens
  ring->Close(fd);
}

TEST_CASE("ring: a send that does not wait comes back short, and an abort resets") {
  const auto ring = MakeRing();
  Connected pair = TcpPair();
  const DirectFd fd = ring->Adopt(std::move(pair.server));
  const std::string block(1 << 20, 'x');
  iovec pieces[2] = {{const_cast<char*>(block.data()), block.size()},
                     {const_cast<char*>(block.data()), block.size()}};
  size_t sent = 0;
  Waiter send;
  for (int i = 0; i < 100; ++i) {
    send.completions.clear();
    ring->Send(send.operation, fd, pieces, false);
    TurnUntil(*ring, [&] { return !send.operation.in_flight(); });
    if (send.completions[0].result < static_cast<int>(2 * block.size())) break;
    sent += static_cast<size_t>(send.completions[0].result);
  }
  const int last = send.completions[0].result;
  CHECK((last == -EAGAIN || (last > 0 && last < static_cast<int>(2 * block.size()))));
  Waiter abort;
  ring->Abort(abort.operation, fd);
  TurnUntil(*ring, [&] { return !abort.operation.in_flight(); });
  CHECK(abort.completions[0].result == 0);
  ring->Close(fd);
  std::string buffer(1 << 16, '\0');
  ssize_t got = 1;
  while (got > 0) got = ::read(pair.client.get(), buffer.data(), buffer.size());
  CHECK(got == -1);
  CHECK(errno == ECONNRESET);
}

TEST_CASE("ring: more requests than the ring has entries") {
  const auto ring = MakeRing(512);
  const auto pool = MakePool(*ring, 4);
  std::deque<Waiter> waiters(300);
  std::deque<Connected> pairs;
  std::vector<DirectFd> fds;
  for (Waiter& waiter : waiters) {
    pairs.push_back(TcpPair());
    fds.push_back(ring->Adopt(std::move(pairs.back().server)));
    ring->ReceiveMultishot(waiter.operation, fds.back(), *pool);
  }
  for (Waiter& waiter : waiters) ring->Cancel(waiter.operation);
  TurnUntil(*ring, [&] {
    for (const Waiter& waiter : waiters) {
      if (waiter.operation.in_flight()) return false;
    }
    return true;
  });
  for (const DirectFd fd : fds) ring->Close(fd);
  TurnUntil(*ring, [&] { return ring->direct_free() == 512; });
}

TEST_CASE("ring: a table larger than RLIMIT_NOFILE is refused with the remedy") {
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const auto ring = Ring::Create({.entries = 8,
                                  .completions = 16,
                                  .direct_descriptors = static_cast<uint32_t>(limit.rlim_cur) + 1});
  REQUIRE_FALSE(ring);
  CHECK(ring.error().remedy.find("RLIMIT_NOFILE") != std::string::npos);
}

}  // namespace postern::ring
