#include "config/endpoint.h"

#include "tests/unit/catch.h"

namespace postern::config {
namespace {

// "ip port [dual]" of what was read, or "fault: what".
std::string Listen(std::string_view text) {
  const auto address = ParseListenAddress(text);
  if (!address.has_value()) {
    CHECK_FALSE(address.error().remedy.empty());
    return "fault: " + address.error().what;
  }
  return address->ip + " " + std::to_string(address->port) + (address->dual_stack ? " dual" : "");
}

// "host port", "unix path", or "fault: what".
std::string ServerText(std::string_view text) {
  const auto server = ParseServer(text);
  if (!server.has_value()) {
    CHECK_FALSE(server.error().remedy.empty());
    return "fault: " + server.error().what;
  }
  CHECK(server->text == text);
  if (!server->unix_path.empty()) return "unix " + server->unix_path;
  return server->host + " " + std::to_string(server->port);
}

}  // namespace

TEST_CASE("endpoint: what a listener may bind") {
  CHECK(Listen("*") == ":: 0 dual");
  CHECK(Listen("*:993") == ":: 993 dual");
  CHECK(Listen("0.0.0.0") == "0.0.0.0 0");
  CHECK(Listen("::") == ":: 0");
  CHECK(Listen("192.0.2.1:993") == "192.0.2.1 993");
  CHECK(Listen("2001:DB8:0::1") == "2001:db8::1 0");
  CHECK(Listen("[2001:db8::1]:993") == "2001:db8::1 993");
  CHECK(Listen("[::1]") == "::1 0");
  CHECK(Listen("::ffff:192.0.2.1") == "192.0.2.1 0");
  CHECK(Listen("fe80::1%eth0") == "fe80::1%eth0 0");
}

TEST_CASE("endpoint: what a listener may not bind") {
  CHECK(Listen("") == "fault: \"\" is no IP address");
  CHECK(Listen("mail.example.com") == "fault: \"mail.example.com\" is no IP address");
  CHECK(Listen("300.0.0.1") == "fault: \"300.0.0.1\" is no IP address");
  CHECK(Listen("192.0.2.1:0") == "fault: \"192.0.2.1:0\" has no valid port");
  CHECK(Listen("192.0.2.1:65536") == "fault: \"192.0.2.1:65536\" has no valid port");
  CHECK(Listen("192.0.2.1:") == "fault: \"192.0.2.1:\" has no valid port");
  CHECK(Listen("192.0.2.1:imap") == "fault: \"192.0.2.1:imap\" has no valid port");
  CHECK(Listen("[::1") == "fault: \"[::1\" is no address");
  CHECK(Listen("[::1]993") == "fault: \"[::1]993\" is no address");
  CHECK(Listen("[*]:993") == "fault: \"*\" is no IP address");
  CHECK(Listen("fe80::1") == "fault: the link-local address \"fe80::1\" names no interface");
  CHECK(Listen("fe80::1%") == "fault: \"fe80::1%\" is no IP address");
  CHECK(Listen("224.0.0.1") == "fault: \"224.0.0.1\" is a multicast or broadcast address");
  CHECK(Listen("ff02::1") == "fault: \"ff02::1\" is a multicast or broadcast address");
  CHECK(Listen(std::string_view("::1\0", 4)).starts_with("fault: "));
}

TEST_CASE("endpoint: servers of a back end") {
  CHECK(ServerText("127.0.0.1:143") == "127.0.0.1 143");
  CHECK(ServerText("[::1]:143") == "::1 143");
  CHECK(ServerText("[2001:DB8::1]:143") == "2001:db8::1 143");
  CHECK(ServerText("imap.example.com:143") == "imap.example.com 143");
  CHECK(ServerText("imap_1.example.com.:143") == "imap_1.example.com. 143");
  CHECK(ServerText("localhost:65535") == "localhost 65535");
  CHECK(ServerText("unix:/run/dovecot/imap") == "unix /run/dovecot/imap");
  CHECK(ServerText("unix:/" + std::string(106, 'a')) == "unix /" + std::string(106, 'a'));
}

TEST_CASE("endpoint: servers that are none") {
  CHECK(ServerText("") == "fault: \"\" has no port");
  CHECK(ServerText("imap.example.com") == "fault: \"imap.example.com\" has no port");
  CHECK(ServerText(":143") == "fault: \":143\" has no host name or address before its port");
  CHECK(ServerText("imap:") == "fault: \"imap:\" has no valid port");
  CHECK(ServerText("imap:0") == "fault: \"imap:0\" has no valid port");
  CHECK(ServerText("imap:-1") == "fault: \"imap:-1\" has no valid port");
  CHECK(ServerText("::1:143") == "fault: the IPv6 address \"::1:143\" has no port");
  CHECK(ServerText("[::1]") == "fault: \"[::1]\" has no port");
  CHECK(ServerText("[::1:143") == "fault: \"[::1:143\" is no server");
  CHECK(ServerText("[imap]:143") ==
        "fault: what stands in brackets in \"[imap]:143\" is no IPv6 address");
  CHECK(ServerText("256.0.0.1:143") == "fault: \"256.0.0.1\" is no IPv4 address");
  CHECK(ServerText("imap..example:143").starts_with("fault: "));
  CHECK(ServerText("-imap:143").starts_with("fault: "));
  CHECK(ServerText("im ap:143").starts_with("fault: "));
  CHECK(ServerText(std::string(254, 'a') + ":143").starts_with("fault: "));
  CHECK(ServerText("[fe80::1]:143").starts_with("fault: the link-local address"));
  CHECK(ServerText("/run/dovecot/imap") == "fault: \"/run/dovecot/imap\" is no server");
  CHECK(ServerText("unix:run/imap") ==
        "fault: the UNIX socket in \"unix:run/imap\" has no "
        "absolute path");
  CHECK(ServerText("unix:").starts_with("fault: the UNIX socket"));
  CHECK(ServerText("unix:/" + std::string(107, 'a')).find("has 108 octets") != std::string::npos);
}

TEST_CASE("endpoint: a server that is the listener itself") {
  const auto leads = [](std::string_view server, std::string_view address) {
    return LeadsTo(*ParseServer(server), *ParseListenAddress(address));
  };
  CHECK(leads("127.0.0.1:993", "*:993"));
  CHECK(leads("127.0.0.1:993", "0.0.0.0:993"));
  CHECK(leads("[::1]:993", "[::]:993"));
  CHECK(leads("localhost:993", "*:993"));
  CHECK(leads("192.0.2.1:993", "192.0.2.1:993"));
  CHECK_FALSE(leads("127.0.0.1:143", "*:993"));
  CHECK_FALSE(leads("127.0.0.1:993", "[::]:993"));
  CHECK_FALSE(leads("[::1]:993", "0.0.0.0:993"));
  CHECK_FALSE(leads("192.0.2.2:993", "*:993"));  // another machine, perhaps
  CHECK_FALSE(leads("127.example.com:993", "*:993"));
  CHECK_FALSE(leads("unix:/run/imap", "*:993"));
}

}  // namespace postern::config
