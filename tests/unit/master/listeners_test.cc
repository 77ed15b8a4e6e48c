#include "master/listeners.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "postern/os/socket.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

// A port that nobody has at the moment, on all addresses.
uint16_t FreePort() {
  const os::UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  socklen_t size = sizeof any;
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&any), &size) == 0);
  return ntohs(any.sin6_port);
}

generation::ListenSocket On(const char* ip, uint16_t port, bool v6_only = true) {
  return {*os::SocketAddress::FromIp(ip, port), v6_only, "test", {"file", 7, 3}};
}

// A client that connected, or one that is invalid when it was refused.
os::UniqueFd Connect(const char* ip, uint16_t port) {
  const auto address = *os::SocketAddress::FromIp(ip, port);
  os::UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), address.get(), address.size()) != 0) return {};
  return fd;
}

// Whether somebody waits in the queue of one of the sockets for place `index`.
bool Waiting(const ListenerSet& set, size_t index, uint32_t workers) {
  for (uint32_t worker = 0; worker < workers; ++worker) {
    pollfd state{set.fd(index, worker), POLLIN, 0};
    if (::poll(&state, 1, 100) == 1) return true;
  }
  return false;
}

ListenerSet Made(const std::vector<generation::ListenSocket>& wanted, const ListenerSet& current) {
  auto made = ListenerSet::Make(wanted, 2, current);
  REQUIRE(made);
  REQUIRE(made->StartListening());
  return std::move(*made);
}

}  // namespace

TEST_CASE("listeners: a socket per address and worker; nobody gets in before it is time") {
  const uint16_t port = FreePort();
  auto set = ListenerSet::Make({On("127.0.0.1", port)}, 3, ListenerSet());
  REQUIRE(set);
  CHECK(set->size() == 1);
  CHECK(set->fd(0, 0) != set->fd(0, 2));
  CHECK_FALSE(Connect("127.0.0.1", port).valid());
  REQUIRE(set->StartListening());
  CHECK(Connect("127.0.0.1", port).valid());
  CHECK(set->bound(0).ToString() == "127.0.0.1:" + std::to_string(port));
}

TEST_CASE("listeners: what stays keeps its sockets and who waits in them") {
  const uint16_t stays = FreePort();
  const uint16_t goes = FreePort();
  ListenerSet first = Made({On("127.0.0.1", goes), On("127.0.0.1", stays)}, ListenerSet());
  const int fd = first.fd(1, 0);
  const os::UniqueFd client = Connect("127.0.0.1", stays);
  REQUIRE(client.valid());

  const uint16_t comes = FreePort();
  // It moves to another place and another listener's name.
  ListenerSet second = Made({On("127.0.0.1", stays), On("127.0.0.1", comes)}, first);
  CHECK(second.fd(0, 0) == fd);
  first = ListenerSet();
  CHECK_FALSE(Connect("127.0.0.1", goes).valid());
  CHECK(Connect("127.0.0.1", comes).valid());
  CHECK(Waiting(second, 0, 2));
}

TEST_CASE("listeners: a set that fails takes nothing with it and reports every fault") {
  const uint16_t port = FreePort();
  const ListenerSet current = Made({On("127.0.0.1", port)}, ListenerSet());
  // Somebody else's, without SO_REUSEPORT.
  const uint16_t taken = FreePort();
  const os::UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = *os::SocketAddress::FromIp("127.0.0.1", taken);
  REQUIRE(::bind(other.get(), address.get(), address.size()) == 0);
  REQUIRE(::listen(other.get(), 1) == 0);

  const uint16_t fresh = FreePort();
  const auto failed = ListenerSet::Make({On("127.0.0.1", port), On("127.0.0.1", fresh),
                                         On("127.0.0.1", taken), On("192.0.2.1", fresh)},
                                        2, current);
  REQUIRE_FALSE(failed);
  REQUIRE(failed.error().size() == 2);
  CHECK(failed.error()[0].where.ToString() == "file:7:3");
  CHECK(failed.error()[0].what.find("listener \"test\"") == 0);
  CHECK_FALSE(failed.error()[0].remedy.empty());
  CHECK(Connect("127.0.0.1", port).valid());
  CHECK_FALSE(Connect("127.0.0.1", fresh).valid());
}

TEST_CASE("listeners: a wildcard becomes a specific address and back, and nobody is refused") {
  const uint16_t port = FreePort();
  ListenerSet wildcard = Made({On("::", port, false)}, ListenerSet());
  CHECK(Connect("127.0.0.1", port).valid());
  CHECK(Connect("::1", port).valid());

  ListenerSet specific = Made({On("127.0.0.1", port)}, wildcard);
  const os::UniqueFd early = Connect("127.0.0.1", port);
  REQUIRE(early.valid());
  // The kernel prefers the specific address, so who comes now outlives the wildcard.
  CHECK(Waiting(specific, 0, 2));
  wildcard = ListenerSet();
  CHECK(Connect("127.0.0.1", port).valid());
  CHECK_FALSE(Connect("::1", port).valid());

  wildcard = Made({On("::", port, false)}, specific);
  specific = ListenerSet();
  CHECK(Connect("127.0.0.1", port).valid());
  CHECK(Connect("::1", port).valid());
}

TEST_CASE("listeners: the same IPv6 address for one family or for both is not the same") {
  const uint16_t port = FreePort();
  ListenerSet v6 = Made({On("::", port, true)}, ListenerSet());
  CHECK_FALSE(Connect("127.0.0.1", port).valid());
  ListenerSet both = Made({On("::", port, false)}, v6);
  CHECK(both.fd(0, 0) != v6.fd(0, 0));
  CHECK(Connect("127.0.0.1", port).valid());
  // And the two wildcards side by side, as an administrator may write them.
  v6 = ListenerSet();
  both = ListenerSet();
  const ListenerSet pair = Made({On("0.0.0.0", port), On("::", port, true)}, ListenerSet());
  CHECK(Connect("127.0.0.1", port).valid());
  CHECK(Connect("::1", port).valid());
}

namespace {

InheritedSocket Passed(const char* ip, uint16_t port, bool reuse_port = true) {
  const auto address = *os::SocketAddress::FromIp(ip, port);
  auto fd = os::MakeListener(address, {});
  REQUIRE(fd);
  return {address, true, address, reuse_port, std::move(*fd), {}};
}

ListenerSet InheritedSet(const char* ip, uint16_t port, size_t count, bool reuse_port = true) {
  std::vector<InheritedSocket> sockets;
  for (size_t i = 0; i < count; ++i) sockets.push_back(Passed(ip, port, reuse_port));
  return ListenerSet::Inherit(std::move(sockets));
}

}  // namespace

TEST_CASE("listeners: inherited sockets are taken over, each by one worker") {
  const uint16_t port = FreePort();
  const ListenerSet inherited = InheritedSet("127.0.0.1", port, 2);
  const auto held = inherited.List();
  REQUIRE(held.size() == 2);
  auto set = ListenerSet::Make({On("127.0.0.1", port)}, 2, inherited);
  REQUIRE(set);
  CHECK(set->fds(0, 0) == std::vector<int>{held[0].fd});
  CHECK(set->fds(0, 1) == std::vector<int>{held[1].fd});
  CHECK(Connect("127.0.0.1", port).valid());
}

TEST_CASE("listeners: the sockets of workers that are no more have a worker all the same") {
  const uint16_t port = FreePort();
  const ListenerSet inherited = InheritedSet("127.0.0.1", port, 5);
  const auto held = inherited.List();
  auto set = ListenerSet::Make({On("127.0.0.1", port)}, 2, inherited);
  REQUIRE(set);
  CHECK(set->fds(0, 0) == std::vector<int>{held[0].fd, held[2].fd, held[4].fd});
  CHECK(set->fds(0, 1) == std::vector<int>{held[1].fd, held[3].fd});
  // A reload, and the next upgrade, have all of them still.
  auto next = ListenerSet::Make({On("127.0.0.1", port)}, 2, *set);
  REQUIRE(next);
  CHECK(next->List().size() == 5);
}

TEST_CASE("listeners: what new workers lack is bound beside, and listens when it is time") {
  const uint16_t port = FreePort();
  auto set = ListenerSet::Make({On("127.0.0.1", port)}, 3, InheritedSet("127.0.0.1", port, 1));
  REQUIRE(set);
  CHECK(set->List().size() == 3);
  CHECK(set->fd(0, 0) != set->fd(0, 2));
  REQUIRE(set->StartListening());
  CHECK(Connect("127.0.0.1", port).valid());
}

TEST_CASE("listeners: workers share a socket beside which nothing can be bound") {
  const uint16_t port = FreePort();
  const auto address = *os::SocketAddress::FromIp("127.0.0.1", port);
  os::UniqueFd alone(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(alone.get(), address.get(), address.size()) == 0);
  REQUIRE(::listen(alone.get(), 10) == 0);
  std::vector<InheritedSocket> sockets;
  sockets.push_back({address, true, address, false, std::move(alone), {}});
  auto set =
      ListenerSet::Make({On("127.0.0.1", port)}, 3, ListenerSet::Inherit(std::move(sockets)));
  REQUIRE(set);
  CHECK(set->List().size() == 1);
  CHECK(set->fds(0, 0) == set->fds(0, 2));
}

TEST_CASE("listeners: inherited sockets of an address that nobody wants go with the set") {
  const uint16_t port = FreePort();
  const uint16_t other = FreePort();
  {
    const ListenerSet inherited = InheritedSet("127.0.0.1", port, 1);
    auto set = ListenerSet::Make({On("127.0.0.1", other)}, 1, inherited);
    REQUIRE(set);
    CHECK(set->List().size() == 1);
    CHECK(Connect("127.0.0.1", port).valid());
  }
  CHECK_FALSE(Connect("127.0.0.1", port).valid());
}

}  // namespace postern::master
