#include "postern/os/passed_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "postern/os/socket.h"
#include "tests/unit/catch.h"

namespace postern::os {
namespace {

UniqueFd Listening(const char* ip) {
  UniqueFd fd(::socket(SocketAddress::FromIp(ip, 0)->family(), SOCK_STREAM, 0));
  const SocketAddress address = *SocketAddress::FromIp(ip, 0);
  REQUIRE(::bind(fd.get(), address.get(), address.size()) == 0);
  REQUIRE(::listen(fd.get(), 1) == 0);
  return fd;
}

bool HasVariable(const char* name) { return std::getenv(name) != nullptr; }

void Announce(const std::string& pid, const std::string& count) {
  ::setenv("LISTEN_PID", pid.c_str(), 1);
  ::setenv("LISTEN_FDS", count.c_str(), 1);
  ::setenv("LISTEN_FDNAMES", "imaps", 1);
}

}  // namespace

TEST_CASE("passed sockets: a listening socket is examined and set up", "[passed]") {
  UniqueFd made = Listening("127.0.0.1");
  const int number = made.get();
  const auto socket = ExaminePassed(std::move(made));
  REQUIRE(socket);
  CHECK(socket->fd.get() == number);
  CHECK(socket->address.IpString() == "127.0.0.1");
  CHECK(socket->address.port() != 0);
  CHECK(socket->v6_only);
  CHECK_FALSE(socket->reuse_port);
  CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(::fcntl(number, F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("passed sockets: one of ours shows that more can be bound beside it", "[passed]") {
  auto made = MakeListener(*SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(made);
  const auto socket = ExaminePassed(std::move(*made));
  REQUIRE(socket);
  CHECK(socket->reuse_port);
}

TEST_CASE("passed sockets: what is no listening TCP socket is refused", "[passed]") {
  CHECK_FALSE(ExaminePassed(UniqueFd(::socket(AF_INET, SOCK_STREAM, 0))));
  CHECK_FALSE(ExaminePassed(UniqueFd(::socket(AF_INET, SOCK_DGRAM, 0))));
  CHECK_FALSE(ExaminePassed(UniqueFd(::open("/dev/null", O_RDONLY))));
  auto local = MakeChannel();
  REQUIRE(local);
  CHECK_FALSE(ExaminePassed(std::move(local->first)));
}

TEST_CASE("passed sockets: variables for another process are removed and not believed",
          "[passed]") {
  for (const auto& [pid, count] : {std::pair<std::string, std::string>{"1", "1"},
                                   {fmt::to_string(::getpid()), "0"},
                                   {fmt::to_string(::getpid()), "-1"},
                                   {fmt::to_string(::getpid()), "999999999"},
                                   {fmt::to_string(::getpid()), "one"},
                                   {"", ""}}) {
    Announce(pid, count);
    CHECK(TakePassedSockets().empty());
    CHECK_FALSE(HasVariable("LISTEN_PID"));
    CHECK_FALSE(HasVariable("LISTEN_FDS"));
    CHECK_FALSE(HasVariable("LISTEN_FDNAMES"));
  }
}

}  // namespace postern::os
