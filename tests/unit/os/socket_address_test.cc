#include "postern/os/socket_address.h"

#include <netinet/in.h>
#include <sys/un.h>

#include <string>

#include "tests/unit/catch.h"

namespace postern::os {

TEST_CASE("socket_address: numeric addresses, there and back") {
  struct Case {
    const char* ip;
    const char* text;
    int family;
  };
  const Case cases[] = {
      {"127.0.0.1", "127.0.0.1:993", AF_INET},
      {"0.0.0.0", "0.0.0.0:993", AF_INET},
      {"::", "[::]:993", AF_INET6},
      {"2001:db8::1", "[2001:db8::1]:993", AF_INET6},
      {"2001:DB8:0:0::1", "[2001:db8::1]:993", AF_INET6},
      {"::ffff:192.0.2.7", "192.0.2.7:993", AF_INET6},
      {"fe80::1%lo", "[fe80::1%lo]:993", AF_INET6},
      {"fe80::1%1", "[fe80::1%lo]:993", AF_INET6},
  };
  for (const Case& c : cases) {
    CAPTURE(c.ip);
    const auto address = SocketAddress::FromIp(c.ip, 993);
    REQUIRE(address);
    CHECK(address->family() == c.family);
    CHECK(address->is_ip());
    CHECK(address->port() == 993);
    CHECK(address->ToString() == c.text);
    CHECK(*address == SocketAddress(address->get(), address->size()));
  }
}

TEST_CASE("socket_address: what is no numeric address is refused") {
  for (const char* ip : {"", "localhost", "127.1", "0x7f000001", "1.2.3.4.5", "1.2.3.256", "[::1]",
                         "::1%", "::1%no-such-interface", ":::", "127.0.0.1:25", " 127.0.0.1"}) {
    CAPTURE(ip);
    CHECK_FALSE(SocketAddress::FromIp(ip, 25));
  }
}

TEST_CASE("socket_address: equality looks at what matters") {
  const auto a = *SocketAddress::FromIp("192.0.2.1", 25);
  CHECK(a == *SocketAddress::FromIp("192.0.2.1", 25));
  CHECK_FALSE(a == *SocketAddress::FromIp("192.0.2.1", 26));
  CHECK_FALSE(a == *SocketAddress::FromIp("192.0.2.2", 25));
  CHECK_FALSE(a == *SocketAddress::FromIp("::ffff:192.0.2.1", 25));
  CHECK_FALSE(a == SocketAddress());
  // Padding is not part of an address.
  sockaddr_in padded{};
  padded.sin_family = AF_INET;
  padded.sin_port = htons(25);
  padded.sin_addr.s_addr = htonl(0xC0000201);
  padded.sin_zero[3] = 7;
  CHECK(a == SocketAddress(reinterpret_cast<sockaddr*>(&padded), sizeof padded));
}

TEST_CASE("socket_address: UNIX paths up to 107 octets") {
  const auto address = SocketAddress::FromUnixPath("/run/x");
  REQUIRE(address);
  CHECK(address->family() == AF_UNIX);
  CHECK_FALSE(address->is_ip());
  CHECK(address->port() == 0);
  CHECK(address->ToString() == "unix:/run/x");
  CHECK(*address == *SocketAddress::FromUnixPath("/run/x"));
  CHECK_FALSE(*address == *SocketAddress::FromUnixPath("/run/y"));
  CHECK(SocketAddress::FromUnixPath(std::string(107, 'a')));
  CHECK_FALSE(SocketAddress::FromUnixPath(std::string(108, 'a')));
  CHECK_FALSE(SocketAddress::FromUnixPath(""));
  CHECK_FALSE(SocketAddress::FromUnixPath(std::string_view("a\0b", 3)));
}

TEST_CASE("socket_address: a size that does not fit the family gives no address") {
  sockaddr_storage storage{};
  storage.ss_family = AF_INET6;
  const auto* address = reinterpret_cast<const sockaddr*>(&storage);
  CHECK(SocketAddress(address, sizeof(sockaddr_in)).family() == AF_UNSPEC);
  CHECK(SocketAddress(address, 1).family() == AF_UNSPEC);
  CHECK(SocketAddress(address, sizeof storage + 1).family() == AF_UNSPEC);
  CHECK(SocketAddress(address, sizeof(sockaddr_in6)).family() == AF_INET6);
  storage.ss_family = AF_NETLINK;
  CHECK(SocketAddress(address, sizeof storage).family() == AF_UNSPEC);
  CHECK(SocketAddress().ToString() == "unknown");
}

TEST_CASE("socket_address: hosts resolve, or the error names them") {
  const auto numeric = ResolveHost("::1", 143);
  REQUIRE(numeric);
  REQUIRE(numeric->size() == 1);
  CHECK(numeric->front().ToString() == "[::1]:143");

  const auto local = ResolveHost("localhost", 143);
  REQUIRE(local);
  for (const SocketAddress& address : *local) CHECK(address.port() == 143);

  // RFC 6761 section 6.4: "invalid" never resolves.
  const auto missing = ResolveHost("no-such-host.invalid", 143);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what.find("no-such-host.invalid") != std::string::npos);
}

TEST_CASE("socket address: the machine has a name that can stand in a greeting") {
  for (const bool full : {false, true}) {
    const std::string name = MachineName(full);
    CHECK_FALSE(name.empty());
    CHECK(name.find_first_of(" \t\r\n\"") == std::string::npos);
  }
}

}  // namespace postern::os
