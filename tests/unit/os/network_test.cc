#include "postern/os/network.h"

#include "tests/unit/catch.h"

namespace postern::os {
namespace {

SocketAddress Ip(const char* text) { return *SocketAddress::FromIp(text, 993); }

}  // namespace

TEST_CASE("network: who is in it") {
  struct Case {
    const char* network;
    const char* address;
    bool inside;
  };
  const Case cases[] = {
      {"192.0.2.0/24", "192.0.2.0", true},
      {"192.0.2.0/24", "192.0.2.255", true},
      {"192.0.2.0/24", "192.0.3.0", false},
      {"192.0.2.0/24", "::ffff:192.0.2.7", true},  // as a dual-stack socket sees it
      {"192.0.2.0/24", "2001:db8::1", false},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"192.0.2.128/25", "192.0.2.128", true},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7/32", "192.0.2.6", false},
      {"0.0.0.0/0", "255.1.2.3", true},
      {"0.0.0.0/0", "2001:db8::1", false},
      {"::/0", "2001:db8::1", true},
      {"::/0", "192.0.2.1", true},  // every address there is
      {"2001:db8::/32", "2001:db8:ffff::1", true},
      {"2001:db8::/32", "2001:db9::", false},
      {"2001:db8::/33", "2001:db8:8000::", false},
      {"2001:db8::1", "2001:db8::1", true},
      {"2001:db8::1", "2001:db8::2", false},
      {"fe80::/10", "fe80::1%lo", true},
      {"::1", "127.0.0.1", false},
  };
  for (const Case& test : cases) {
    CAPTURE(test.network, test.address);
    const auto network = Network::Parse(test.network);
    REQUIRE(network);
    CHECK(network->Contains(Ip(test.address)) == test.inside);
  }
  CHECK_FALSE(Network::Parse("::/0")->Contains(*SocketAddress::FromUnixPath("/run/x")));
  CHECK_FALSE(Network::Parse("::/0")->Contains(SocketAddress()));
}

TEST_CASE("network: what is none") {
  for (const char* text :
       {"", "/", "/24", "mail.example.com", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1",
        "192.0.2.0/24 ", " 192.0.2.0/24", "192.0.2.0/024x", "192.0.2/24", "2001:db8::/129",
        "fe80::1%lo", "fe80::%lo/10", "[::1]", "192.0.2.1/24", "2001:db8::1/32", "*"}) {
    CAPTURE(text);
    CHECK_FALSE(Network::Parse(text));
  }
}

TEST_CASE("network: its text") {
  for (const char* text : {"192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "::1/128"}) {
    CHECK(Network::Parse(text)->ToString() == text);
  }
  CHECK(Network::Parse("192.0.2.1")->ToString() == "192.0.2.1/32");
}

}  // namespace postern::os
