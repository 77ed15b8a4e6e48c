// What comes between connecting to a server and relaying: TLS, STARTTLS, who the client is.
#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;
using test::ToyRecord;

Harness::Options With(config::Service service, config::BackendTlsMode tls, bool identify = false) {
  Harness::Options options;
  options.service = service;
  options.backend_tls = tls;
  options.identify_clients = identify;
  return options;
}

os::UniqueFd Secured(Harness& harness) {
  os::UniqueFd client = harness.Connect();
  harness.Write(client, "HELLO\n");
  CHECK(harness.Read(client, 8) == "WELCOME\n");
  return client;
}

std::string Heard(Harness& harness, const os::UniqueFd& client, std::string_view words) {
  return harness.Read(client, ToyRecord(words).size());
}

std::string ReadLine(Harness& harness, const os::UniqueFd& fd) {
  std::string line;
  while (!line.ends_with('\n')) {
    const std::string octet = harness.Read(fd, 1);
    if (octet.empty()) break;
    line += octet;
  }
  return line;
}

void WaitForEnd(Harness& harness) {
  harness.TurnUntil([&] {
    harness.now_ms += 100;
    return harness.table.empty();
  });
}

// All that the client hears to the end.
std::string LastWords(Harness& harness, const os::UniqueFd& client, bool& close_notify) {
  WaitForEnd(harness);
  int error = 0;
  return Harness::Opened(harness.ReadAll(client, error), close_notify);
}

}  // namespace

TEST_CASE("session link: TLS from the first octet, both directions and both ends") {
  for (const size_t cut : {1U, 4U, 1000U}) {
    CAPTURE(cut);
    Harness harness(With(config::Service::kRaw, config::BackendTlsMode::kImplicit));
    const os::UniqueFd client = Secured(harness);
    harness.Write(client, ToyRecord("early "));  // waits for the handshake
    const os::UniqueFd backend = harness.AcceptBackend();
    CHECK(harness.Read(backend, 6) == "HELLO\n");
    const std::string answer = "WELCOME\n" + ToyRecord("with it") + ToyRecord(" and behind");
    for (size_t at = 0; at < answer.size(); at += cut) {
      harness.Write(backend, std::string_view(answer).substr(at, cut));
      harness.Turn();
    }
    CHECK(harness.Read(backend, ToyRecord("early ").size()) == ToyRecord("early "));
    std::string wire;
    bool close_notify = false;
    harness.TurnUntil([&] {
      wire += harness.Read(client, 1);
      return Harness::Opened(wire, close_notify) == "with it and behind";
    });
    harness.Write(client, ToyRecord("words") + ToyRecord("bye", 21));
    CHECK(harness.Read(backend, ToyRecord("words").size()) == ToyRecord("words"));
    CHECK(harness.Read(backend, ToyRecord("bye", 21).size()) == ToyRecord("bye", 21));
    harness.Write(backend, ToyRecord("last") + ToyRecord("bye", 21));
    CHECK(Heard(harness, client, "last") == ToyRecord("last"));
    CHECK(harness.Read(client, ToyRecord("bye", 21).size()) == ToyRecord("bye", 21));
    WaitForEnd(harness);
    CHECK(harness.log.Has("how=client-closed"));
  }
}

TEST_CASE("session link: a server's stream without close_notify is cut off for the client too") {
  Harness harness(With(config::Service::kImap, config::BackendTlsMode::kImplicit));
  const os::UniqueFd client = Secured(harness);
  os::UniqueFd backend = harness.AcceptBackend();
  CHECK(harness.Read(backend, 6) == "HELLO\n");
  harness.Write(backend, "WELCOME\n" + ToyRecord("* OK half of"));
  CHECK(Heard(harness, client, "* OK half of") == ToyRecord("* OK half of"));
  backend.Reset();
  harness.TurnUntil([&] {
    harness.now_ms += 100;
    return harness.table.empty();
  });
  int error = 0;
  bool close_notify = false;
  CHECK(Harness::Opened(harness.ReadAll(client, error), close_notify).empty());
  CHECK_FALSE(close_notify);
  CHECK(harness.log.Has("how=server-reset"));
  CHECK(harness.log.Has("broke off without close_notify"));
}

TEST_CASE("session link: STARTTLS towards the server, the greeting reaches the client") {
  Harness harness(With(config::Service::kPop3, config::BackendTlsMode::kStartTls));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "+OK ready <1@x>\r\n");
  CHECK(harness.Read(backend, 6) == "STLS\r\n");
  harness.Write(backend, "+OK go\r\n");
  CHECK(harness.Read(backend, 6) == "HELLO\n");
  harness.Write(backend, "WELCOME\n");
  CHECK(Heard(harness, client, "+OK ready <1@x>\r\n") == ToyRecord("+OK ready <1@x>\r\n"));
  harness.Write(client, ToyRecord("QUIT\r\n"));
  CHECK(harness.Read(backend, ToyRecord("QUIT\r\n").size()) == ToyRecord("QUIT\r\n"));
}

TEST_CASE(
    "session link: SMTP by STARTTLS, EHLO passes through the dialog and idle time is the "
    "client's") {
  Harness harness(With(config::Service::kSmtp, config::BackendTlsMode::kStartTls));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "220 mx\r\n");
  CHECK(ReadLine(harness, backend) == "EHLO mx.test\r\n");
  harness.Write(backend, "250-mx\r\n250 STARTTLS\r\n");
  CHECK(ReadLine(harness, backend) == "STARTTLS\r\n");
  harness.Write(backend, "220 go\r\n");
  CHECK(harness.Read(backend, 6) == "HELLO\n");
  harness.Write(backend, "WELCOME\n");
  CHECK(Heard(harness, client, "220 mx\r\n") == ToyRecord("220 mx\r\n"));
  harness.now_ms += 10'000;  // longer than a server has
  for (int i = 0; i < 5; ++i) harness.Turn();
  harness.Write(client, ToyRecord("EHLO c\r\n"));
  CHECK(harness.Read(backend, ToyRecord("EHLO c\r\n").size()) == ToyRecord("EHLO c\r\n"));
  harness.Write(backend, ToyRecord("250-mx\r\n250-XCLIENT ADDR\r\n250 DSN\r\n"));
  const std::string_view answer = "250-mx\r\n250 DSN\r\n";
  CHECK(Heard(harness, client, answer) == ToyRecord(answer));
}

TEST_CASE("session link: octets behind the server's answer to STARTTLS reach nobody") {
  Harness harness(With(config::Service::kPop3, config::BackendTlsMode::kStartTls));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "+OK ready\r\n");
  CHECK(harness.Read(backend, 6) == "STLS\r\n");
  harness.Write(backend, "+OK go\r\n+OK injected\r\n");
  bool close_notify = false;
  const std::string heard = LastWords(harness, client, close_notify);
  CHECK(heard.starts_with("-ERR [SYS/TEMP]"));
  WaitForEnd(harness);
  CHECK(harness.log.Has("how=backend-unreachable"));
  CHECK(harness.log.Has("octets behind its answer to STARTTLS"));
}

TEST_CASE("session link: a server that fails is replaced by the next, and nothing of it stays") {
  auto other = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(other);
  auto first = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(first);
  for (const std::string words : {"NOT TLS\n", "", "WEL"}) {
    CAPTURE(words);
    Harness::Options options = With(config::Service::kRaw, config::BackendTlsMode::kImplicit);
    options.servers = {test::BoundAddress(first->get()), test::BoundAddress(other->get())};
    Harness harness(options);
    const os::UniqueFd client = Secured(harness);
    harness.Write(client, ToyRecord("early"));
    const auto accept = [&](int listener) {
      os::UniqueFd fd;
      harness.TurnUntil([&] {
        fd.Reset(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK));
        return fd.valid();
      });
      return fd;
    };
    os::UniqueFd bad = accept(first->get());
    CHECK(harness.Read(bad, 6) == "HELLO\n");
    harness.Write(bad, words);
    if (words != "NOT TLS\n") bad.Reset();  // hangs up within the handshake
    const os::UniqueFd good = accept(other->get());
    CHECK(harness.Read(good, 6) == "HELLO\n");
    harness.Write(good, "WELCOME\n");
    if (words == "NOT TLS\n") CHECK(harness.Read(bad, 6) == "ALERT\n");
    CHECK(harness.Read(good, ToyRecord("early").size()) == ToyRecord("early"));
    harness.Write(good, ToyRecord("hi"));
    CHECK(Heard(harness, client, "hi") == ToyRecord("hi"));
  }
}

TEST_CASE("session link: once connected, a server has greeting_timeout for TLS and the dialog") {
  Harness harness(With(config::Service::kPop3, config::BackendTlsMode::kStartTls));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "+OK ready\r\n");
  harness.now_ms += 2'100;  // connect_timeout is 2 s, and does not matter any more
  for (int i = 0; i < 5; ++i) harness.Turn();
  CHECK(harness.Read(backend, 6) == "STLS\r\n");
  CHECK_FALSE(harness.log.Has("does not answer in time"));
  harness.now_ms += 28'000;
  bool close_notify = false;
  const std::string heard = LastWords(harness, client, close_notify);
  CHECK(heard.starts_with("-ERR [SYS/TEMP]"));
  WaitForEnd(harness);
  CHECK(harness.log.Has("does not answer in time"));
}

TEST_CASE("session link: who the client is, and a client that the server will not have") {
  for (const bool welcome : {true, false}) {
    Harness harness(With(config::Service::kSmtp, config::BackendTlsMode::kOff, true));
    const os::UniqueFd client = Secured(harness);
    const os::UniqueFd backend = harness.AcceptBackend();
    harness.Write(backend, "220 first\r\n");
    CHECK(ReadLine(harness, backend) == "EHLO mx.test\r\n");
    harness.Write(backend, "250-mx\r\n250 XCLIENT ADDR\r\n");
    CHECK(ReadLine(harness, backend) == "XCLIENT ADDR=127.0.0.1\r\n");
    if (welcome) {
      harness.Write(backend, "220 second\r\n");
      CHECK(Heard(harness, client, "220 second\r\n") == ToyRecord("220 second\r\n"));
      harness.Write(client, ToyRecord("EHLO c\r\n") + ToyRecord("MAIL"));
      CHECK(ReadLine(harness, backend) == "EHLO c\r\n");
      harness.Write(backend, "250-mx\r\n250-XCLIENT ADDR\r\n250 DSN\r\n");
      CHECK(Heard(harness, client, "250-mx\r\n250 DSN\r\n") == ToyRecord("250-mx\r\n250 DSN\r\n"));
      CHECK(harness.Read(backend, 4) == "MAIL");
    } else {
      harness.Write(backend, "554 5.7.1 Not you\r\n");
      bool close_notify = false;
      CHECK(LastWords(harness, client, close_notify) == "554 5.7.1 Not you\r\n");
      CHECK(close_notify);
      WaitForEnd(harness);
      CHECK(harness.log.Has("how=server-closed"));
      CHECK(harness.log.Has("refuses this client"));
    }
  }
}

TEST_CASE("session link: a server that cannot be told of one client is there for the others") {
  Harness harness(With(config::Service::kSmtp, config::BackendTlsMode::kOff, true));
  {
    const os::UniqueFd client = Secured(harness);
    const os::UniqueFd backend = harness.AcceptBackend();
    harness.Write(backend, "220 mx\r\n");
    ReadLine(harness, backend);
    harness.Write(backend, "250-mx\r\n250 XCLIENT ADDR\r\n");
    ReadLine(harness, backend);
    harness.Write(backend, "501 5.5.4 Bad ADDR syntax\r\n");
    bool close_notify = false;
    CHECK(LastWords(harness, client, close_notify).starts_with("421 "));
    CHECK(harness.log.Has("inet_protocols"));
    CHECK(harness.counters.backend_failed.Get() == 0);
  }
  const os::UniqueFd next = Secured(harness);
  CHECK(harness.AcceptBackend().valid());
}

TEST_CASE("session link: a server that will not hear who the client is gets no client") {
  Harness harness(With(config::Service::kSmtp, config::BackendTlsMode::kOff, true));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "220 mx\r\n");
  ReadLine(harness, backend);
  harness.Write(backend, "250 mx\r\n");
  bool close_notify = false;
  const std::string heard = LastWords(harness, client, close_notify);
  CHECK(heard.starts_with("421 "));
  WaitForEnd(harness);
  CHECK(harness.log.Has("smtpd_authorized_xclient_hosts"));
}

TEST_CASE("session link: behind STARTTLS the server's greeting is swallowed, EHLO is filtered") {
  Harness::Options options = With(config::Service::kSmtp, config::BackendTlsMode::kOff);
  options.tls = config::TlsMode::kStartTls;
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  CHECK(ReadLine(harness, client).starts_with("220 mx.test"));
  harness.Write(client, "EHLO c\r\n");
  std::string line;
  while (!line.starts_with("250 ")) line = ReadLine(harness, client);
  harness.Write(client, "STARTTLS\r\n");
  CHECK(ReadLine(harness, client).starts_with("220 "));
  harness.Write(client, "HELLO\n");
  CHECK(harness.Read(client, 8) == "WELCOME\n");
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(client, ToyRecord("EHLO c\r\n"));
  harness.Write(backend, "220 behind\r\n");
  CHECK(ReadLine(harness, backend) == "EHLO c\r\n");
  harness.Write(backend, "250-behind\r\n250-STARTTLS\r\n250 DSN\r\n");
  const std::string_view answer = "250-behind\r\n250 DSN\r\n";
  CHECK(Heard(harness, client, answer) == ToyRecord(answer));
}

TEST_CASE("session link: a client that goes on without TLS is introduced again") {
  Harness::Options options = With(config::Service::kSmtp, config::BackendTlsMode::kOff);
  options.tls = config::TlsMode::kStartTls;
  options.require_tls = false;
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, "EHLO c\r\n");
  std::string line;
  while (!line.starts_with("250 ")) line = ReadLine(harness, client);
  harness.Write(client, "MAIL FROM:<>\r\n");
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "220 behind\r\n");
  CHECK(ReadLine(harness, backend) == "EHLO c\r\n");
  harness.Write(backend, "250-behind\r\n250 DSN\r\n");
  CHECK(ReadLine(harness, backend) == "MAIL FROM:<>\r\n");
  harness.Write(backend, "250 fine\r\n");
  CHECK(ReadLine(harness, client) == "250 fine\r\n");
}

TEST_CASE("session link: the gate stands where nothing is to be said to the server, too") {
  Harness harness(With(config::Service::kSmtp, config::BackendTlsMode::kOff));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "220 mx\r\n");
  CHECK(Heard(harness, client, "220 mx\r\n") == ToyRecord("220 mx\r\n"));
  // Cut within the command, which is held back until it is known.
  harness.Write(client, ToyRecord("HELO c\r\nXCLI"));
  CHECK(harness.Read(backend, 8) == "HELO c\r\n");
  harness.Write(client, ToyRecord("ENT ADDR=192.0.2.1\r\nXCL"));
  CHECK(ReadLine(harness, backend) == "XXXXXXX ADDR=192.0.2.1\r\n");
  harness.Write(backend, "250-mx\r\n250-XCLIENT ADDR\r\n250 STARTTLS\r\n");
  CHECK(Heard(harness, client, "250 mx\r\n") == ToyRecord("250 mx\r\n"));
  harness.Write(client, ToyRecord("bye", 21));
  CHECK(harness.Read(backend, 3) == "XCL");  // nothing comes any more
}

TEST_CASE("session link: behind a login octets flow untouched") {
  Harness harness(With(config::Service::kPop3, config::BackendTlsMode::kOff));
  const os::UniqueFd client = Secured(harness);
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "+OK\r\n");
  CHECK(Heard(harness, client, "+OK\r\n") == ToyRecord("+OK\r\n"));
  harness.Write(client, ToyRecord("STLS\r\nPASS x\r\nST"));
  CHECK(harness.Read(backend, 14) == "XXXX\r\nPASS x\r\n");
  harness.Write(backend, "-ERR\r\n+OK in\r\nST");
  CHECK(Heard(harness, client, "-ERR\r\n+OK in\r\nST") == ToyRecord("-ERR\r\n+OK in\r\nST"));
  CHECK(harness.Read(backend, 2) == "ST");
  harness.Write(client, ToyRecord("LS\r\n"));
  CHECK(harness.Read(backend, 4) == "LS\r\n");
}

TEST_CASE("session link: PREAUTH reaches no client, with a dialog or without") {
  for (const config::BackendTlsMode tls :
       {config::BackendTlsMode::kOff, config::BackendTlsMode::kImplicit}) {
    Harness harness(With(config::Service::kImap, tls));
    const os::UniqueFd client = Secured(harness);
    const os::UniqueFd backend = harness.AcceptBackend();
    const bool secure = tls == config::BackendTlsMode::kImplicit;
    if (secure) CHECK(harness.Read(backend, 6) == "HELLO\n");
    const std::string greeting = "* PREAUTH welcome root\r\n";
    harness.Write(backend, secure ? "WELCOME\n" + ToyRecord(greeting) : greeting);
    bool close_notify = false;
    CHECK(LastWords(harness, client, close_notify).starts_with("* BYE "));
    CHECK(harness.log.Has("greets PREAUTH"));
  }
}

}  // namespace postern::session
