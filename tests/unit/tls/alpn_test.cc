#include "tls/alpn.h"

#include <string>
#include <string_view>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

// "h2, imap" as on the wire.
std::string Wire(std::initializer_list<std::string_view> names) {
  std::string wire;
  for (const std::string_view name : names) {
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

// What a client that offers `names` to `service` is told: a protocol, "-" or "refused".
std::string Choice(std::string_view service, std::initializer_list<std::string_view> names) {
  const std::string wire = Wire(names);
  const AlpnChoice choice = ChooseAlpn(service, AsBytes(wire));
  switch (choice.kind) {
    case AlpnChoice::Kind::kNone:
      return "-";
    case AlpnChoice::Kind::kSelected:
      return std::string(choice.protocol);
    case AlpnChoice::Kind::kForeign:
      break;
  }
  return "refused";
}

}  // namespace

TEST_CASE("alpn: a service speaks its own protocol and no other", "[tls][alpn]") {
  CHECK(Choice("imap", {"imap"}) == "imap");
  CHECK(Choice("imap", {"h2", "imap"}) == "imap");
  CHECK(Choice("imap", {"h2", "http/1.1"}) == "refused");
  CHECK(Choice("imap", {"pop3"}) == "refused");
  CHECK(Choice("imap", {"IMAP"}) == "refused");  // names are octets (RFC 7301 section 3.1)
  CHECK(Choice("pop3", {"pop3"}) == "pop3");
  CHECK(Choice("sieve", {"managesieve"}) == "managesieve");
  CHECK(Choice("http", {"h2", "http/1.1"}) == "http/1.1");
  CHECK(Choice("http", {"h2"}) == "refused");
  for (const std::string_view service : {"smtp", "submission"}) {
    CHECK(Choice(service, {"h2", "http/1.1"}) == "refused");
    CHECK(Choice(service, {"ftp"}) == "refused");
    CHECK(Choice(service, {"smtp"}) == "-");
    CHECK(Choice(service, {"x", "esmtp"}) == "-");
  }
  CHECK(Choice("raw", {"h2"}) == "-");
}

TEST_CASE("alpn: a malformed list ends where it breaks", "[tls][alpn]") {
  using namespace std::string_view_literals;
  for (const std::string_view wire : {""sv, "\x05imap"sv, "\x00\x04imap"sv, "\x04ima"sv}) {
    CHECK(ChooseAlpn("imap", AsBytes(wire)).kind == AlpnChoice::Kind::kForeign);
    CHECK(AlpnNames(AsBytes(wire)).empty());
  }
  CHECK(AlpnNames(AsBytes("\x02h2\x09imap"sv)) == std::vector<std::string>{"h2"});
  // Bounded for the log: names, and octets of each.
  std::string many;
  for (int i = 0; i < 100; ++i) many += "\x01x";
  CHECK(AlpnNames(AsBytes(many)).size() == 6);
  CHECK(AlpnNames(AsBytes("\x80" + std::string(128, 'y')))[0].size() == 32);
}

TEST_CASE("alpn: a client that was sent to the wrong port gets the alert", "[tls][alpn]") {
  static const auto contexts = test::MakeContexts({test::MakePair(31, "mail.example")});
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto offering = [version](std::string wire) {
    return [version, wire](SSL_CTX* context) {
      test::OnlyVersion(version)(context);
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(wire.data()),
                              static_cast<unsigned>(wire.size()));
    };
  };
  test::TestClient stray({}, offering(Wire({"h2", "http/1.1"})));
  const auto handshake = contexts->Begin(test::kPolicy);
  CHECK(test::Complete(*handshake, stray).state == HandshakeState::kFailed);
  CHECK(handshake->failure() == HandshakeFailure::kNoApplicationProtocol);
  CHECK(handshake->failure_detail() ==
        "the client asks for the protocol h2, http/1.1 (ALPN), this listener serves imap");

  // A service's own name is not always its protocol's.
  const std::pair<std::string_view, std::string_view> services[] = {{"sieve", "managesieve"},
                                                                    {"smtp", "smtp or esmtp"}};
  for (const auto& [service, served] : services) {
    test::TestClient other({}, offering(Wire({"h2"})));
    const auto refusing = contexts->Begin({.listener = "l", .service = service});
    CHECK(test::Complete(*refusing, other).state == HandshakeState::kFailed);
    CHECK(refusing->failure_detail().ends_with(served));
  }

  test::Connection good =
      test::Connect(*contexts, test::kPolicy, {}, offering(Wire({"h2", "imap"})));
  CHECK(good.facts.alpn == "imap");
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(good.client->ssl(), &name, &size);
  CHECK(std::string(reinterpret_cast<const char*>(name), size) == "imap");
  CHECK(test::Connect(*contexts).facts.alpn.empty());
}

}  // namespace postern::tls
