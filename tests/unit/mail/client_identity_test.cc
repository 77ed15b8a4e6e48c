#include "mail/client_identity.h"

#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

constexpr std::string_view kAll =
    "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT SESSION TTL";

std::string Only(const std::vector<std::string>& commands) {
  REQUIRE(commands.size() == 1);
  return commands.front();
}

}  // namespace

TEST_CASE("client identity: XCLIENT says what the server takes", "[dialog]") {
  const ClientIdentity client{.address = "2001:db8::7",
                              .port = 65535,
                              .local_address = "2001:db8::1",
                              .local_port = 25,
                              .hello = "client.example",
                              .login = "user@example.com",
                              .session_id = "s1"};
  CHECK(Only(XclientCommands(client, "ehlo", kAll)) ==
        "XCLIENT HELO=client.example PROTO=ESMTP LOGIN=user@example.com SESSION=s1 TTL=5 "
        "DESTADDR=IPV6:2001:db8::1 DESTPORT=25 PORT=65535 NAME=[UNAVAILABLE] "
        "REVERSE_NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7");
  CHECK(Only(XclientCommands(client, "HELO", "proto addr")) ==
        "XCLIENT PROTO=SMTP ADDR=IPV6:2001:db8::7");
  CHECK(Only(XclientCommands(client, "LHLO", "PROTO ADDR")) == "XCLIENT ADDR=IPV6:2001:db8::7");
  CHECK(Only(XclientCommands({.address = "192.0.2.7"}, "", "NAME ADDR PORT LOGIN HELO")) ==
        "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7");
  CHECK(XclientCommands(client, "EHLO", "NAME PORT LOGIN").empty());
  CHECK(XclientCommands(client, "EHLO", "").empty());
  CHECK(XclientCommands({}, "EHLO", kAll).empty());
}

TEST_CASE("client identity: XCLIENT values are xtext", "[dialog]") {
  const ClientIdentity client{.address = "192.0.2.7",
                              .hello = std::string_view("a b+c=d\r\nQUIT\0\xC3\xA4", 16),
                              .login = "~!+"};
  CHECK(Only(XclientCommands(client, "", "ADDR HELO LOGIN")) ==
        "XCLIENT HELO=a+20b+2Bc+3Dd+0D+0AQUIT+00+C3+A4 LOGIN=~!+2B ADDR=192.0.2.7");
}

TEST_CASE("client identity: no XCLIENT command is too long, the address comes last", "[dialog]") {
  for (size_t hello = 0; hello <= 600; ++hello) {
    for (const size_t login : {size_t{0}, size_t{100}, size_t{480}, size_t{496}, size_t{497}}) {
      const std::string name(hello, 'h');
      const std::string user(login, 'u');
      const ClientIdentity client{.address = "2001:db8:1111:2222:3333:4444:5555:6666",
                                  .port = 65535,
                                  .local_address = "2001:db8:1111:2222:3333:4444:5555:7777",
                                  .local_port = 65535,
                                  .hello = name,
                                  .login = user,
                                  .session_id = "0123456789abcdef"};
      const auto commands = XclientCommands(client, "EHLO", kAll);
      REQUIRE(!commands.empty());
      std::string all;
      for (const std::string& command : commands) {
        REQUIRE(command.size() + 2 <= 512);
        REQUIRE(command.starts_with("XCLIENT "));
        all += command;
      }
      // Told whole, or not at all where no command has room for it.
      REQUIRE((all.find(" HELO=" + name + " ") != std::string::npos ||
               all.find(" HELO=" + name + "XCLIENT") != std::string::npos) ==
              (hello > 0 && hello <= 510 - 13));
      REQUIRE((all.find(" LOGIN=" + user) != std::string::npos) ==
              (login > 0 && login <= 510 - 14));
      REQUIRE(commands.back().ends_with(
          " DESTADDR=IPV6:2001:db8:1111:2222:3333:4444:5555:7777 DESTPORT=65535 PORT=65535 "
          "NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE] "
          "ADDR=IPV6:2001:db8:1111:2222:3333:4444:5555:6666"));
    }
  }
}

TEST_CASE("client identity: POP3 has no encoding, so nothing odd is told", "[dialog]") {
  CHECK(LoginXclient({.address = "192.0.2.7", .port = 1, .session_id = "s1"}) ==
        "XCLIENT ADDR=192.0.2.7 PORT=1 SESSION=s1 TTL=5");
  CHECK(LoginXclient({.address = "192.0.2.7", .session_id = "s1\r\nQUIT"}) ==
        "XCLIENT ADDR=192.0.2.7 TTL=5");
  CHECK(LoginXclient({.address = "192.0.2.7", .session_id = "s1 ADDR=192.0.2.8"}) ==
        "XCLIENT ADDR=192.0.2.7 TTL=5");
}

TEST_CASE("client identity: ID's strings are quoted", "[dialog]") {
  CHECK(ImapIdList({.address = "192.0.2.7", .session_id = R"(a"b\c d)"}) ==
        R"(("x-originating-ip" "192.0.2.7" "x-session-id" "a\"b\\c d" "x-proxy-ttl" "5"))");
  CHECK(ImapIdList({.address = "192.0.2.7", .session_id = "a\r\nP2 LOGOUT"}) ==
        R"(("x-originating-ip" "192.0.2.7" "x-proxy-ttl" "5"))");
}

}  // namespace postern::mail
