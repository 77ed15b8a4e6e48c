#include "postern/os/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {
namespace {

SocketAddress Local(uint16_t port) { return *SocketAddress::FromIp("127.0.0.1", port); }

SocketAddress BoundAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  REQUIRE(::getsockname(fd, address, &size) == 0);
  return {address, size};
}

int Option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

bool Acceptable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, 10'000) == 1;
}

}  // namespace

TEST_CASE("socket: a listener accepts and hands its options down") {
  const auto listener = MakeListener(Local(0), {});
  REQUIRE(listener);
  CHECK((::fcntl(listener->get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(listener->get(), F_GETFD) & FD_CLOEXEC) != 0);

  const SocketAddress address = BoundAddress(listener->get());
  const auto client = MakeStream(AF_INET);
  REQUIRE(client);
  ::connect(client->get(), address.get(), address.size());
  REQUIRE(Acceptable(listener->get()));
  const UniqueFd accepted(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(accepted.valid());
  CHECK(Option(accepted.get(), IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(Option(accepted.get(), SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(PeerAddress(accepted.get()) == BoundAddress(client->get()));
}

TEST_CASE("socket: several listeners share one address, others are kept out") {
  const auto first = MakeListener(Local(0), {});
  REQUIRE(first);
  const SocketAddress address = BoundAddress(first->get());
  CHECK(MakeListener(address, {}));

  const UniqueFd alone(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress any = Local(0);
  REQUIRE(::bind(alone.get(), any.get(), any.size()) == 0);
  REQUIRE(::listen(alone.get(), 1) == 0);
  const SocketAddress taken = BoundAddress(alone.get());
  const auto refused = MakeListener(taken, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().what.find(taken.ToString()) != std::string::npos);
  CHECK(refused.error().remedy.find("ss -ltnp") != std::string::npos);
}

TEST_CASE("socket: a bound address lets nobody in before it listens") {
  const auto listener = MakeListener(Local(0), {.listen = false});
  REQUIRE(listener);
  const SocketAddress address = BoundAddress(listener->get());
  const UniqueFd early(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(early.get(), address.get(), address.size()) == -1);
  CHECK(errno == ECONNREFUSED);
  REQUIRE(StartListening(listener->get(), address));
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(client.get(), address.get(), address.size()) == 0);
}

TEST_CASE("socket: an address of nobody's cannot be listened on") {
  // RFC 5737: 192.0.2.0/24 is for documentation.
  const auto refused = MakeListener(*SocketAddress::FromIp("192.0.2.1", 0), {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().what.find("192.0.2.1:0") != std::string::npos);
}

TEST_CASE("socket: v6_only says who may come in") {
  for (const bool v6_only : {true, false}) {
    CAPTURE(v6_only);
    const auto listener = MakeListener(*SocketAddress::FromIp("::", 0), {.v6_only = v6_only});
    REQUIRE(listener);
    CHECK((Option(listener->get(), IPPROTO_IPV6, IPV6_V6ONLY) == 1) == v6_only);
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress target = Local(BoundAddress(listener->get()).port());
    CHECK((::connect(client.get(), target.get(), target.size()) == 0) == !v6_only);
  }
}

TEST_CASE("socket: the peer of a socket without one is unknown") {
  const auto stream = MakeStream(AF_INET);
  REQUIRE(stream);
  CHECK(PeerAddress(stream->get()).family() == AF_UNSPEC);
}

TEST_CASE("socket: a UNIX listener has its mode, and replaces what nobody serves") {
  const TemporaryDirectory directory;
  const std::string path = directory / "control.sock";
  {
    const auto listener = MakeUnixListener(path, 0600);
    REQUIRE(listener);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(ConnectUnix(path));
    const auto second = MakeUnixListener(path, 0600);
    REQUIRE_FALSE(second);
    CHECK(second.error().what.find("another process serves it") != std::string::npos);
  }
  // The file is still there, as after a SIGKILL.
  const auto stale = ConnectUnix(path);
  REQUIRE_FALSE(stale);
  CHECK_FALSE(stale.error().remedy.empty());
  const auto again = MakeUnixListener(path, 0600);
  REQUIRE(again);
  CHECK(ConnectUnix(path));
}

TEST_CASE("socket: a UNIX listener does not replace a file") {
  const TemporaryDirectory directory;
  const std::string path = directory / "precious";
  std::ofstream(path) << "text";
  CHECK_FALSE(MakeUnixListener(path, 0600));
  CHECK(std::filesystem::file_size(path) == 4);
  CHECK_FALSE(MakeUnixListener(directory / "missing/control.sock", 0600));
  CHECK_FALSE(MakeUnixListener(std::string(107, 'x'), 0600));
  const auto missing = ConnectUnix(directory / "none");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what.find("none") != std::string::npos);
}

}  // namespace postern::os
