// The PROXY protocol within a session: who may speak, what the log and the back end are told.
#include <string>

#include "postern/mail/proxy_header.h"
#include "postern/session/session.h"
#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;
using test::ToyRecord;

const std::string kLine = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 993\r\n";

Harness::Options Takes(config::ProxyIn in, const char* from = "127.0.0.0/8") {
  Harness::Options options;
  options.proxy_in = {.in = in, .from = {*os::Network::Parse(from)}, .timeout_ms = 3'000};
  return options;
}

Harness::Options Tells(config::ProxyOut out, config::ProxyIn in = config::ProxyIn::kOff) {
  Harness::Options options = Takes(in);
  options.proxy_out = out;
  return options;
}

// The header that a server is sent; its texts lie in `wire`.
mail::ProxyHeader ReadHeader(Harness& harness, const os::UniqueFd& backend, std::string& wire) {
  mail::ProxyParsed parsed;
  while (parsed.state == mail::ProxyParsed::State::kNeedMore) {
    wire += harness.Read(backend, 1);
    parsed = mail::ParseProxyHeader(AsBytes(wire), mail::ProxyAccepts::kVersion2);
  }
  REQUIRE(parsed.state == mail::ProxyParsed::State::kDone);
  return parsed.header;
}

// What a proxy says of a client that had TLS with it.
mail::ProxyHeader ToldHeader(bool with_tls) {
  mail::ProxyHeader header;
  header.family = mail::ProxyFamily::kIpv4;
  header.source.ip = {std::byte{192}, std::byte{0}, std::byte{2}, std::byte{1}};
  header.source.port = 56324;
  header.destination = header.source;
  header.authority = "mail.example.com";
  header.alpn = "imap";
  header.unique_id = "id-of-the-proxy";
  if (!with_tls) return header;
  header.tls = mail::ProxyTls{.certificate_on_connection = true,
                              .certificate_in_session = true,
                              .verified = true,
                              .version = "TLSv1.2",
                              .common_name = "alice",
                              .cipher = "ECDHE-RSA-AES128-GCM-SHA256",
                              .signature_algorithm = "RSA-SHA256",
                              .key_algorithm = "RSA2048"};
  return header;
}

std::string WireOf(const mail::ProxyHeader& header) {
  std::vector<std::byte> octets;
  mail::WriteProxyHeader(header, mail::ProxyFormat::kVersion2Tls, octets);
  return std::string(AsText(octets));
}

void WaitForLog(Harness& harness, std::string_view part) {
  harness.TurnUntil([&] { return harness.log.Has(part); });
}

}  // namespace

TEST_CASE("session proxy: a header before the handshake names the client, however it is cut") {
  const std::string wire = kLine + "HELLO\n" + ToyRecord("A1 NOOP\r\n");
  for (size_t cut = 1; cut < wire.size(); ++cut) {
    CAPTURE(cut);
    Harness harness(Takes(config::ProxyIn::kAny));
    os::UniqueFd client = harness.Connect();
    harness.Write(client, wire.substr(0, cut));
    harness.Turn();
    harness.Write(client, wire.substr(cut));
    CHECK(harness.Read(client, 8) == "WELCOME\n");
    os::UniqueFd backend = harness.AcceptBackend();
    CHECK(harness.Read(backend, 9) == "A1 NOOP\r\n");
    backend.Reset();
    client.Reset();
    WaitForLog(harness, "connection closed");
    CHECK(harness.log.Has("client=192.0.2.1:56324 proxy=127.0.0.1:"));
  }
}

TEST_CASE("session proxy: a header in single octets") {
  Harness harness(Takes(config::ProxyIn::kVersion1));
  const os::UniqueFd client = harness.Connect();
  for (const char octet : kLine + "HELLO\n") {
    harness.Write(client, std::string_view(&octet, 1));
    harness.Turn();
  }
  CHECK(harness.Read(client, 8) == "WELCOME\n");
}

TEST_CASE("session proxy: who is no proxy is closed before anything is read") {
  Harness harness(Takes(config::ProxyIn::kAny, "192.0.2.0/24"));
  const os::UniqueFd client = harness.Connect();
  int error = 0;
  CHECK(harness.ReadAll(client, error).empty());
  CHECK(harness.table.empty());
  CHECK(harness.log.Has("level=info"));
  CHECK(harness.log.Has("how=not-a-proxy"));
  CHECK(harness.counters.connections.Get() == 0);
  CHECK(harness.counters.handshaking.Get() == 0);
}

TEST_CASE("session proxy: a bad header ends the connection with a warning") {
  struct Case {
    config::ProxyIn in;
    std::string wire;
    const char* reason;
  };
  const Case cases[] = {
      {config::ProxyIn::kAny, "HELLO\n", "no PROXY header"},
      {config::ProxyIn::kAny, "PROXY TCP4 192.0.2.1\r\n", "a bad address"},
      {config::ProxyIn::kVersion2, kLine, "version 2 is asked for"},
      {config::ProxyIn::kAny, "PROXY UNKNOWN" + std::string(200, ' '), "107 octets"},
  };
  for (const Case& test : cases) {
    CAPTURE(test.wire);
    Harness harness(Takes(test.in));
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, test.wire);
    int error = 0;
    CHECK(harness.ReadAll(client, error).empty());
    WaitForLog(harness, "connection closed");
    CHECK(harness.log.Has("level=warning"));
    CHECK(harness.log.Has("how=proxy-header"));
    CHECK(harness.log.Has(test.reason));
  }
}

TEST_CASE(
    "session proxy: a second header is closed, whatever is expected then, however it is cut") {
  const std::string kSecond[] = {kLine, std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16)};
  for (const config::TlsMode tls : {config::TlsMode::kImplicit, config::TlsMode::kStartTls,
                                    config::TlsMode::kAuto, config::TlsMode::kOff}) {
    for (const std::string& second : kSecond) {
      for (const size_t cut : {size_t{0}, size_t{1}, size_t{5}, second.size()}) {
        CAPTURE(static_cast<int>(tls), second, cut);
        Harness::Options options = Takes(config::ProxyIn::kAny);
        options.tls = tls;
        Harness harness(options);
        const os::UniqueFd client = harness.Connect();
        harness.Write(client, kLine + second.substr(0, cut));
        for (int i = 0; i < 3; ++i) harness.Turn();
        harness.Write(client, second.substr(cut));
        WaitForLog(harness, "connection closed");
        CHECK(harness.log.Has("how=proxy-header"));
        CHECK(harness.log.Has("a second PROXY header"));
      }
    }
  }
}

TEST_CASE("session proxy: what only begins as a header passes at once") {
  Harness::Options options = Takes(config::ProxyIn::kAny);
  options.tls = config::TlsMode::kOff;
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, kLine + "PROXY");
  const os::UniqueFd backend = harness.AcceptBackend();
  CHECK(harness.Read(backend, 5) == "PROXY");
  harness.Write(client, "-PROXY ");
  CHECK(harness.Read(backend, 7) == "-PROXY ");
}

TEST_CASE("session proxy: a late header is not waited for") {
  for (const char* begin : {"", "PROXY TCP4"}) {
    Harness harness(Takes(config::ProxyIn::kAny));
    const os::UniqueFd client = harness.Connect();
    if (*begin != '\0') harness.Write(client, begin);
    harness.Turn();
    harness.now_ms += 2'900;
    harness.Turn();
    CHECK_FALSE(harness.table.empty());
    harness.now_ms += 200;
    int error = 0;
    CHECK(harness.ReadAll(client, error).empty());
    WaitForLog(harness, "how=proxy-header");
    CHECK(harness.log.Has("in time"));
  }
}

TEST_CASE("session proxy: the handshake has its own time behind the header") {
  Harness harness(Takes(config::ProxyIn::kAny));
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, kLine);
  for (int i = 0; i < 20; ++i) harness.Turn();
  harness.now_ms += 9'000;
  harness.Turn();
  harness.Write(client, "HELLO\n");
  CHECK(harness.Read(client, 8) == "WELCOME\n");
}

TEST_CASE("session proxy: a balancer that only looks is no warning, a cut header is one") {
  {
    Harness harness(Takes(config::ProxyIn::kAny));
    os::UniqueFd client = harness.Connect();
    client.Reset();
    WaitForLog(harness, "how=client-closed");
    CHECK(harness.log.Has("level=info"));
  }
  Harness harness(Takes(config::ProxyIn::kAny));
  os::UniqueFd client = harness.Connect();
  harness.Write(client, "PROXY TC");
  client.Reset();
  WaitForLog(harness, "how=proxy-header");
  CHECK(harness.log.Has("ended within the PROXY header"));
}

TEST_CASE("session proxy: UNKNOWN and LOCAL leave the connection's own address") {
  const std::string local = std::string("\r\n\r\n\0\r\nQUIT\n", 12) + std::string("\x20\0\0\0", 4);
  for (const std::string& header : {std::string("PROXY UNKNOWN\r\n"), local}) {
    Harness harness(Takes(config::ProxyIn::kAny));
    os::UniqueFd client = harness.Connect();
    harness.Write(client, header + "BAD");
    CHECK(harness.Read(client, 6) == "ALERT\n");
    client.Reset();
    WaitForLog(harness, "connection closed");
    CHECK(harness.log.Has("client=127.0.0.1:"));
    CHECK_FALSE(harness.log.Has("proxy="));
  }
}

TEST_CASE("session proxy: the back end hears of the client before anything else") {
  Harness harness(Tells(config::ProxyOut::kVersion1));
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, "HELLO\n" + ToyRecord("A1 NOOP\r\n"));
  const os::UniqueFd backend = harness.AcceptBackend();
  const os::SocketAddress from = os::LocalAddress(client.get());
  const os::SocketAddress to = os::PeerAddress(client.get());
  const std::string line = "PROXY TCP4 127.0.0.1 127.0.0.1 " + std::to_string(from.port()) + " " +
                           std::to_string(to.port()) + "\r\n";
  CHECK(harness.Read(backend, line.size() + 9) == line + "A1 NOOP\r\n");
}

TEST_CASE("session proxy: what a proxy said is passed on") {
  Harness harness(Tells(config::ProxyOut::kVersion1, config::ProxyIn::kAny));
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, "PROXY TCP6 2001:db8::1 2001:db8::2 56324 993\r\nHELLO\n");
  const os::UniqueFd backend = harness.AcceptBackend();
  const std::string line = "PROXY TCP6 2001:db8::1 2001:db8::2 56324 993\r\n";
  CHECK(harness.Read(backend, line.size()) == line);
}

TEST_CASE("session proxy: version 2 with TLS has an ID that the log has, too") {
  Harness harness(Tells(config::ProxyOut::kVersion2Tls, config::ProxyIn::kAny));
  os::UniqueFd client = harness.Connect();
  harness.Write(client, kLine + "HELLO\n" + ToyRecord("q"));
  os::UniqueFd backend = harness.AcceptBackend();
  std::string wire;
  const mail::ProxyHeader header = ReadHeader(harness, backend, wire);
  CHECK(header.source.port == 56324);
  CHECK(header.tls);
  CHECK(header.unique_id.size() == 32);
  CHECK(harness.Read(backend, 1) == "q");
  backend.Reset();
  client.Reset();
  WaitForLog(harness, "connection_id=" + std::string(header.unique_id));
}

TEST_CASE("session proxy: of a client without TLS no TLS is told") {
  Harness::Options options = Tells(config::ProxyOut::kVersion2Tls);
  options.service = config::Service::kRaw;
  options.tls = config::TlsMode::kOff;
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  const os::UniqueFd backend = harness.AcceptBackend();
  std::string wire;
  const mail::ProxyHeader header = ReadHeader(harness, backend, wire);
  CHECK(header.family == mail::ProxyFamily::kIpv4);
  CHECK_FALSE(header.tls);
  CHECK(header.authority.empty());
  harness.Write(client, "hello");
  CHECK(harness.Read(backend, 5) == "hello");
}

TEST_CASE("session proxy: what a proxy said of the client's TLS is passed on") {
  // Without TLS with us; and with one, which then is the proxy's own.
  for (const config::TlsMode tls : {config::TlsMode::kOff, config::TlsMode::kImplicit}) {
    CAPTURE(static_cast<int>(tls));
    Harness::Options options = Tells(config::ProxyOut::kVersion2Tls, config::ProxyIn::kVersion2);
    options.tls = tls;
    Harness harness(options);
    os::UniqueFd client = harness.Connect();
    const mail::ProxyHeader told = ToldHeader(true);
    harness.Write(client, WireOf(told));
    if (tls == config::TlsMode::kImplicit) harness.Write(client, "HELLO\n" + ToyRecord("q"));
    os::UniqueFd backend = harness.AcceptBackend();
    std::string wire;
    CHECK(ReadHeader(harness, backend, wire) == told);
    backend.Reset();
    client.Reset();
    WaitForLog(harness, "connection closed");
    CHECK(harness.log.Has("proxy_tls=TLSv1.2"));
    CHECK(harness.log.Has("connection_id=id-of-the-proxy"));
  }
}

TEST_CASE("session proxy: a proxy that speaks of no TLS has passed it on, or there was none") {
  for (const config::TlsMode tls : {config::TlsMode::kOff, config::TlsMode::kImplicit}) {
    CAPTURE(static_cast<int>(tls));
    const bool secure = tls == config::TlsMode::kImplicit;
    Harness::Options options = Tells(config::ProxyOut::kVersion2Tls, config::ProxyIn::kVersion2);
    options.tls = tls;
    Harness harness(options);
    const os::UniqueFd client = harness.Connect();
    const mail::ProxyHeader told = ToldHeader(false);
    harness.Write(client, WireOf(told));
    if (secure) harness.Write(client, "HELLO\n" + ToyRecord("q"));
    const os::UniqueFd backend = harness.AcceptBackend();
    std::string wire;
    const mail::ProxyHeader header = ReadHeader(harness, backend, wire);
    CHECK(header.unique_id == told.unique_id);
    CHECK(header.tls.has_value() == secure);
    CHECK((header.authority == told.authority) == !secure);
    CHECK((header.alpn == told.alpn) == !secure);
  }
}

TEST_CASE("session proxy: an ID that no log line can hold is replaced by one of our own") {
  for (const char* id : {"", "two words", "line\r\nend", "\xff\xfe"}) {
    CAPTURE(id);
    Harness::Options options = Tells(config::ProxyOut::kVersion2Tls, config::ProxyIn::kVersion2);
    options.tls = config::TlsMode::kOff;
    Harness harness(options);
    const os::UniqueFd client = harness.Connect();
    mail::ProxyHeader told = ToldHeader(true);
    told.unique_id = id;
    harness.Write(client, WireOf(told));
    const os::UniqueFd backend = harness.AcceptBackend();
    std::string wire;
    CHECK(ReadHeader(harness, backend, wire).unique_id.size() == 32);
  }
}

TEST_CASE("session proxy: servers that are told of addresses alone hear no more") {
  Harness::Options options = Tells(config::ProxyOut::kVersion2, config::ProxyIn::kVersion2);
  options.tls = config::TlsMode::kOff;
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, WireOf(ToldHeader(true)));
  const os::UniqueFd backend = harness.AcceptBackend();
  std::string wire;
  const mail::ProxyHeader header = ReadHeader(harness, backend, wire);
  CHECK(header.source.port == 56324);
  CHECK((!header.tls && header.authority.empty() && header.unique_id.empty()));
}

TEST_CASE("session proxy: the header comes first at the server that is reached at last") {
  Harness::Options options = Tells(config::ProxyOut::kVersion1, config::ProxyIn::kAny);
  auto listener = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(listener);
  auto dead = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(dead);
  options.servers = {test::BoundAddress(dead->get()), test::BoundAddress(listener->get())};
  dead->Reset();
  Harness harness(options);
  harness.backend_listener = std::move(*listener);
  for (int i = 0; i < 2; ++i) {  // once each of the two comes first
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, kLine + "HELLO\n" + ToyRecord("hello"));
    const os::UniqueFd backend = harness.AcceptBackend();
    CHECK(harness.Read(backend, kLine.size() + 5) == kLine + "hello");
  }
}

TEST_CASE("session proxy: a client that asked nothing is not announced") {
  Harness::Options options = Tells(config::ProxyOut::kVersion1);
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, "HELLO\n" + ToyRecord("bye", 21));
  WaitForLog(harness, "how=client-closed");
}

}  // namespace postern::session
