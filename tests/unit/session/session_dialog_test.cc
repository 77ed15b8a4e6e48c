// Sessions that begin in plain text: what they say, when TLS begins, and that nothing of the plain
// text outlives it.
#include <poll.h>

#include <string>

#include "postern/session/keyword_cache.h"
#include "postern/session/session.h"
#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;
using test::ToyRecord;

Harness::Options Begins(config::TlsMode tls, config::Service service = config::Service::kImap,
                        bool require_tls = true) {
  Harness::Options options;
  options.service = service;
  options.tls = tls;
  options.require_tls = require_tls;
  return options;
}

Harness::Options StartTls(config::Service service = config::Service::kImap) {
  return Begins(config::TlsMode::kStartTls, service);
}

// Reads what comes up to and with the next line end.
std::string ReadLine(Harness& harness, const os::UniqueFd& fd) {
  std::string line;
  while (!line.ends_with('\n')) {
    const std::string octet = harness.Read(fd, 1);
    if (octet.empty()) break;
    line += octet;
  }
  return line;
}

bool BackendSpokenTo(const Harness& harness) {
  pollfd wait{harness.backend_listener.get(), POLLIN, 0};
  return ::poll(&wait, 1, 0) == 1;
}

// Lets the session do what it does without the client or the clock: what has been written on the
// loopback interface is there at once.
void Settle(Harness& harness) {
  for (int i = 0; i < 5; ++i) harness.Turn(1);
}

// The clock goes on by `step_ms` in each turn of the ring.
void WaitForEnd(Harness& harness, uint64_t step_ms = 100) {
  harness.TurnUntil([&] {
    harness.now_ms += step_ms;
    return harness.table.empty();
  });
}

// What a server's keywords are, as a test has them.
class FakeKeywords final : public KeywordCache {
 public:
  const mail::EhloKeywords* Find(const generation::SettingsPtr&, uint32_t) override {
    return known;
  }
  bool Want(const generation::SettingsPtr&, uint32_t, KeywordWaiter& waiter) override {
    if (!answers) return false;
    waiters.PushBack(waiter);
    return true;
  }
  void Tell(const mail::EhloKeywords* keywords) {
    while (KeywordWaiter* waiter = waiters.PopFront()) waiter->OnKeywords(keywords);
  }

  void Learn(const generation::SettingsPtr&, uint32_t,
             const mail::EhloKeywords& keywords) override {
    learned = keywords;
  }

  mail::EhloKeywords learned;
  const mail::EhloKeywords* known = nullptr;
  bool answers = true;
  IntrusiveList<KeywordWaiter, &KeywordWaiter::keyword_node> waiters;
};

}  // namespace

TEST_CASE("session dialog: STARTTLS leads to TLS, and only then is a server spoken to") {
  const struct {
    config::Service service;
    std::string_view greeting;
    std::string_view hello;
    std::string_view starttls;
    std::string_view ready;
  } cases[] = {
      {config::Service::kImap, "* OK ", "", "a STARTTLS\r\n", "a OK "},
      {config::Service::kPop3, "+OK ", "", "STLS\r\n", "+OK "},
      {config::Service::kSmtp, "220 mx.test ESMTP", "EHLO c\r\n", "STARTTLS\r\n", "220 "},
      {config::Service::kSubmission, "220 mx.test ESMTP", "EHLO c\r\n", "STARTTLS\r\n", "220 "},
      {config::Service::kLmtp, "220 mx.test LMTP", "LHLO c\r\n", "STARTTLS\r\n", "220 "},
      {config::Service::kSieve, "\"IMPLEMENTATION\"", "", "STARTTLS\r\n", "OK"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.greeting);
    Harness harness(StartTls(one.service));
    const os::UniqueFd client = harness.Connect();
    std::string line = ReadLine(harness, client);
    CHECK(line.starts_with(one.greeting));
    if (one.service == config::Service::kSieve) {
      while (!line.starts_with("OK")) line = ReadLine(harness, client);
    }
    if (!one.hello.empty()) {
      harness.Write(client, one.hello);
      while (!line.starts_with("250 ")) line = ReadLine(harness, client);
    }
    harness.Write(client, one.starttls);
    do {
      line = ReadLine(harness, client);
    } while (!line.empty() && !line.starts_with(one.ready));
    CHECK(line.starts_with(one.ready));
    Settle(harness);
    CHECK_FALSE(BackendSpokenTo(harness));
    CHECK(harness.counters.handshaking.Get() == 1);
    harness.Write(client, "HELLO\n");
    CHECK(harness.Read(client, 8) == "WELCOME\n");
    const os::UniqueFd backend = harness.AcceptBackend();
    CHECK(harness.counters.handshaking.Get() == 0);
    static_cast<void>(backend);
  }
}

TEST_CASE("session dialog: TLS behind STARTTLS is relayed as any, and the log says how it began") {
  Harness harness(StartTls(config::Service::kPop3));
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, "STLS\r\n");
  ReadLine(harness, client);
  harness.Write(client, "HELLO\n");
  CHECK(harness.Read(client, 8) == "WELCOME\n");
  os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(backend, "+OK POP3 ready\r\n");
  harness.Write(client, ToyRecord("CAPA\r\n"));
  CHECK(harness.Read(backend, 6) == "CAPA\r\n");
  harness.Write(backend, "+OK here they are\r\n");
  std::string wire;
  while (wire.find(ToyRecord("+OK here they are\r\n")) == std::string::npos) {
    wire += harness.Read(client, 1);
  }
  backend.Reset();
  harness.Read(client, ToyRecord("bye", 21).size());
  WaitForEnd(harness);
  CHECK(harness.log.Has("service=pop3 tls=starttls "));
}

TEST_CASE("session dialog: however the octets are cut") {
  const std::string words = "a NOOP\r\nb STARTTLS\r\n";
  for (size_t cut = 1; cut < words.size(); ++cut) {
    CAPTURE(cut);
    Harness harness(StartTls());
    const os::UniqueFd client = harness.Connect();
    ReadLine(harness, client);
    harness.Write(client, words.substr(0, cut));
    harness.Turn();
    harness.Write(client, words.substr(cut));
    CHECK(ReadLine(harness, client).starts_with("a OK"));
    CHECK(ReadLine(harness, client).starts_with("b OK"));
    harness.Write(client, "HELLO\n");
    CHECK(harness.Read(client, 8) == "WELCOME\n");
  }
}

TEST_CASE("session dialog: octets behind STARTTLS reach nobody") {
  // In one piece; and in two that come while the answer is on its way.
  for (const bool apart : {false, true}) {
    CAPTURE(apart);
    Harness harness(StartTls());
    const os::UniqueFd client = harness.Connect();
    ReadLine(harness, client);
    const auto write = [&](std::string_view text) {
      REQUIRE(::write(client.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
      harness.ring->Wait(50);  // it is received, and waits to be looked at
    };
    if (apart) {
      write("a STARTTLS\r\n");
      write("b LOGIN me secret\r\n");
    } else {
      write("a STARTTLS\r\nb LOGIN me secret\r\n");
    }
    WaitForEnd(harness);
    CHECK_FALSE(BackendSpokenTo(harness));
    CHECK(harness.log.Has("how=dialog-refused dialog=injection"));
  }
}

TEST_CASE("session dialog: plain text where the handshake should be reaches nobody") {
  Harness harness(StartTls());
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, "a STARTTLS\r\n");
  CHECK(ReadLine(harness, client).starts_with("a OK"));
  harness.Write(client, "b LOGIN me secret\r\n");
  WaitForEnd(harness);
  CHECK_FALSE(BackendSpokenTo(harness));
  CHECK(harness.log.Has("how=handshake-failed"));
  CHECK(harness.log.Has("tls=starttls"));
}

TEST_CASE("session dialog: too long a dialog ends with the protocol's words") {
  Harness harness(StartTls(config::Service::kSmtp));
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.now_ms += 59'000;
  harness.Write(client, "NOOP\r\n");
  CHECK(ReadLine(harness, client).starts_with("250"));  // does not begin the time anew
  harness.now_ms += 1'020;
  int error = 0;
  CHECK(harness.ReadAll(client, error).starts_with("421 4.4.2 "));
  WaitForEnd(harness);
  CHECK(harness.log.Has("tls=off"));
  CHECK(harness.log.Has("how=dialog-timeout dialog=timeout"));
}

TEST_CASE("session dialog: a stop is said in plain text") {
  Harness harness(StartTls());
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.table.EndAll(mail::Occasion::kShutdown, How::kDrained);
  int error = 0;
  CHECK(harness.ReadAll(client, error) == "* BYE Server is shutting down\r\n");
  CHECK(error == 0);
  WaitForEnd(harness);
  CHECK(harness.log.Has("how=drained dialog=stopped"));
}

TEST_CASE("session dialog: goodbyes and hang-ups") {
  {
    Harness harness(StartTls());
    const os::UniqueFd client = harness.Connect();
    ReadLine(harness, client);
    harness.Write(client, "a LOGOUT\r\n");
    int error = 0;
    CHECK(harness.ReadAll(client, error).starts_with("* BYE"));
    WaitForEnd(harness);
    CHECK(harness.log.Has("how=client-closed dialog=quit"));
    CHECK(harness.counters.dialogs_ended.at(static_cast<size_t>(mail::DialogEnd::kQuit)).Get() ==
          1);
  }
  {
    Harness harness(StartTls());
    os::UniqueFd client = harness.Connect();
    ReadLine(harness, client);
    client.Reset();
    WaitForEnd(harness);
    CHECK(harness.log.Has("how=client-closed dialog=client-gone"));
    CHECK(harness.counters.handshaking.Get() == 0);
  }
}

TEST_CASE("session dialog: who speaks before a delayed greeting is turned away") {
  Harness::Options options = StartTls(config::Service::kSmtp);
  options.greeting_delay_ms = 2'000;
  {
    Harness harness(options);
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "EHLO bot\r\n");
    int error = 0;
    CHECK(harness.ReadAll(client, error).starts_with("554 5.5.0 "));
    WaitForEnd(harness);
    CHECK_FALSE(BackendSpokenTo(harness));
    CHECK(harness.log.Has("how=dialog-refused dialog=spoke-first"));
  }
  {
    Harness harness(options);
    const os::UniqueFd client = harness.Connect();
    Settle(harness);
    harness.now_ms += 2'020;
    CHECK(ReadLine(harness, client) == "220 mx.test ESMTP\r\n");
    // The dialog has its whole time behind the delay.
    harness.now_ms += 59'000;
    harness.Write(client, "NOOP\r\n");
    CHECK(ReadLine(harness, client).starts_with("250"));
  }
}

TEST_CASE("session dialog: a client that goes on without TLS is connected as it is") {
  Harness harness(Begins(config::TlsMode::kStartTls, config::Service::kPop3, false));
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, "USER me\r\n");
  const os::UniqueFd backend = harness.AcceptBackend();
  CHECK(harness.counters.plain.Get() == 1);
  CHECK(harness.counters.handshaking.Get() == 0);
  harness.table.EndAll(mail::Occasion::kShutdown, How::kDrained);
  WaitForEnd(harness);
  CHECK(harness.log.Has("tls=off"));
  static_cast<void>(backend);
}

TEST_CASE("session dialog: plain text to the end, both directions and both ends") {
  const struct {
    config::TlsMode tls;
    bool wait;  // for the server to be allowed to speak first
  } cases[] = {{config::TlsMode::kOff, false}, {config::TlsMode::kAuto, true}};
  for (const auto& one : cases) {
    CAPTURE(one.wait);
    Harness harness(Begins(one.tls, config::Service::kRaw, false));
    os::UniqueFd client = harness.Connect();
    if (one.wait) {
      Settle(harness);
      CHECK_FALSE(BackendSpokenTo(harness));
      harness.now_ms += 3'020;
    }
    const os::UniqueFd backend = harness.AcceptBackend();
    harness.Write(backend, "welcome\r\n");
    CHECK(harness.Read(client, 9) == "welcome\r\n");
    harness.Write(client, "a question");
    CHECK(harness.Read(backend, 10) == "a question");
    ::shutdown(client.get(), SHUT_WR);  // an end, not a cut: there is nothing else in plain text
    int error = 0;
    CHECK(harness.ReadAll(backend, error).empty());
    CHECK(error == 0);
    harness.Write(backend, "the answer");
    ::shutdown(backend.get(), SHUT_WR);
    CHECK(harness.ReadAll(client, error) == "the answer");
    CHECK(error == 0);
    WaitForEnd(harness);
    CHECK(harness.log.Has("tls=off"));
    CHECK(harness.log.Has("bytes_in=10 bytes_out=19"));
    CHECK(harness.log.Has("how=client-closed"));
    CHECK_FALSE(harness.log.Has("resumed="));
  }
}

TEST_CASE("session dialog: bulk in plain text, byte for byte") {
  Harness harness(Begins(config::TlsMode::kOff, config::Service::kRaw, false));
  const os::UniqueFd client = harness.Connect();
  const os::UniqueFd backend = harness.AcceptBackend();
  std::string sent;
  for (int i = 0; i < 300'000; ++i) sent += static_cast<char>(i * 31 + i / 251);
  size_t written = 0;
  std::string got;
  harness.TurnUntil([&] {
    const ssize_t size = ::write(client.get(), sent.data() + written, sent.size() - written);
    if (size > 0) written += static_cast<size_t>(size);
    char buffer[65536];
    const ssize_t read = ::read(backend.get(), buffer, sizeof buffer);
    if (read > 0) got.append(buffer, static_cast<size_t>(read));
    return got.size() == sent.size();
  });
  CHECK(got == sent);
}

TEST_CASE("session dialog: tls = auto begins as the client does") {
  {
    Harness harness(Begins(config::TlsMode::kAuto));
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "\x16HELLO\n");
    CHECK(harness.Read(client, 8) == "WELCOME\n");  // and no greeting before it
    harness.AcceptBackend();
  }
  {
    Harness harness(Begins(config::TlsMode::kAuto));
    const os::UniqueFd client = harness.Connect();
    Settle(harness);
    harness.now_ms += 2'900;
    Settle(harness);
    pollfd wait{client.get(), POLLIN, 0};
    CHECK(::poll(&wait, 1, 0) == 0);
    harness.now_ms += 120;
    CHECK(ReadLine(harness, client).starts_with("* OK"));
    harness.Write(client, "a STARTTLS\r\n");
    CHECK(ReadLine(harness, client).starts_with("a OK"));
    harness.Write(client, "HELLO\n");
    CHECK(harness.Read(client, 8) == "WELCOME\n");
  }
  {
    Harness harness(Begins(config::TlsMode::kAuto));
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "a NOOP\r\n");  // does not wait to be greeted
    CHECK(ReadLine(harness, client).starts_with("* OK"));
    CHECK(ReadLine(harness, client).starts_with("a OK"));
    CHECK_FALSE(BackendSpokenTo(harness));
  }
  {
    Harness harness(Begins(config::TlsMode::kAuto, config::Service::kHttp, false));
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "GET / HTTP/1.1\r\n");
    const os::UniqueFd backend = harness.AcceptBackend();
    CHECK(harness.Read(backend, 16) == "GET / HTTP/1.1\r\n");
  }
  {
    Harness harness(Begins(config::TlsMode::kAuto, config::Service::kRaw));
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "something plain");
    WaitForEnd(harness);
    CHECK_FALSE(BackendSpokenTo(harness));
    CHECK(harness.log.Has("how=handshake-failed"));
  }
}

TEST_CASE("session dialog: plain HTTP is sent to https") {
  for (const config::TlsMode tls : {config::TlsMode::kImplicit, config::TlsMode::kAuto}) {
    for (const size_t cut : {0U, 10U, 30U}) {
      CAPTURE(static_cast<int>(tls), cut);
      Harness harness(Begins(tls, config::Service::kHttp));
      const os::UniqueFd client = harness.Connect();
      const std::string request = "GET /inbox?x=1 HTTP/1.1\r\nHost: mail.example.com\r\n\r\n";
      harness.Write(client, request.substr(0, cut));
      Settle(harness);
      harness.Write(client, request.substr(cut));
      int error = 0;
      const std::string reply = harness.ReadAll(client, error);
      CHECK(error == 0);
      CHECK(reply.starts_with("HTTP/1.1 301 "));
      CHECK(reply.find("Location: https://mail.example.com") != std::string::npos);
      CHECK(reply.find("/inbox?x=1\r\n") != std::string::npos);
      WaitForEnd(harness);
      CHECK(harness.log.Has("how=handshake-failed failure=plain-http"));
      CHECK_FALSE(BackendSpokenTo(harness));
    }
  }
}

TEST_CASE("session dialog: EHLO is answered with what is known of the server") {
  const mail::EhloKeywords keywords = {"SIZE 1000", "AUTH PLAIN", "8BITMIME"};
  FakeKeywords cache;
  cache.known = &keywords;
  Harness::Options options = StartTls(config::Service::kSmtp);
  options.keywords = &cache;
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, "EHLO c\r\n");
  std::string answer;
  while (!answer.ends_with("250 STARTTLS\r\n")) answer += ReadLine(harness, client);
  CHECK(answer.find("250-SIZE 1000\r\n") != std::string::npos);
  CHECK(answer.find("8BITMIME") != std::string::npos);
  CHECK(cache.waiters.empty());
}

TEST_CASE("session dialog: EHLO waits for keywords that have to be asked for") {
  const mail::EhloKeywords keywords = {"SIZE 1000"};
  for (const bool had : {true, false}) {
    CAPTURE(had);
    FakeKeywords cache;
    Harness::Options options = StartTls(config::Service::kSmtp);
    options.keywords = &cache;
    Harness harness(options);
    const os::UniqueFd client = harness.Connect();
    ReadLine(harness, client);
    // What is pipelined behind it waits, too.
    harness.Write(client, "EHLO c\r\nNOOP\r\n");
    harness.TurnUntil([&] { return !cache.waiters.empty(); });
    Settle(harness);
    pollfd wait{client.get(), POLLIN, 0};
    CHECK(::poll(&wait, 1, 0) == 0);
    cache.Tell(had ? &keywords : nullptr);
    std::string answer;
    while (!answer.ends_with("250 2.0.0 OK\r\n")) answer += ReadLine(harness, client);
    CHECK((answer.find("250-SIZE 1000\r\n250 STARTTLS\r\n250 2.0.0 OK\r\n") != std::string::npos) ==
          had);
  }
}

namespace {

// A client whose EHLO waits for keywords while it says all of `said`, in two pieces; then they are
// there.
os::UniqueFd SayWhileWaiting(Harness& harness, FakeKeywords& cache, std::string_view said,
                             size_t cut) {
  static const mail::EhloKeywords kKeywords = {"SIZE 1000"};
  os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, said.substr(0, cut));
  Settle(harness);
  if (cut < said.size()) harness.Write(client, said.substr(cut));
  harness.TurnUntil([&] { return !cache.waiters.empty(); });
  Settle(harness);
  cache.known = &kKeywords;
  cache.Tell(&kKeywords);
  return client;
}

Harness::Options Waits(FakeKeywords& cache, bool require_tls = true) {
  Harness::Options options =
      Begins(config::TlsMode::kStartTls, config::Service::kSmtp, require_tls);
  options.keywords = &cache;
  return options;
}

}  // namespace

TEST_CASE("session dialog: nothing that comes while EHLO waits for keywords is lost") {
  const std::string said = "EHLO c\r\nNOOP\r\nVRFY a\r\nEHLO d\r\nMAIL FROM:<a@b>\r\nQUIT\r\n";
  std::string whole;
  for (size_t cut = said.size(); cut > 0; --cut) {
    CAPTURE(cut);
    FakeKeywords cache;
    Harness harness(Waits(cache));
    const os::UniqueFd client = SayWhileWaiting(harness, cache, said, cut);
    int error = 0;
    const std::string answers = harness.ReadAll(client, error);
    CHECK(error == 0);
    if (whole.empty()) whole = answers;
    CHECK(answers == whole);
    WaitForEnd(harness);
    CHECK(harness.log.Has("dialog=quit"));
    CHECK_FALSE(BackendSpokenTo(harness));
  }
  CHECK(whole.find("250-SIZE 1000\r\n250 STARTTLS\r\n250 2.0.0 OK\r\n252 ") != std::string::npos);
  CHECK(whole.find("530 5.7.0") < whole.find("221 2.0.0"));
}

TEST_CASE("session dialog: a mail that begins while EHLO waits for keywords reaches the server") {
  const std::string hello = "EHLO c\r\n";
  const std::string mail = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
  for (size_t cut = 1; cut <= hello.size() + mail.size(); ++cut) {
    CAPTURE(cut);
    FakeKeywords cache;
    Harness harness(Waits(cache, false));
    const os::UniqueFd client = SayWhileWaiting(harness, cache, hello + mail, cut);
    const os::UniqueFd backend = harness.AcceptBackend();
    harness.Write(backend, "220 server\r\n");
    CHECK(harness.Read(backend, hello.size()) == hello);
    harness.Write(backend, "250-server\r\n250 SIZE 1000\r\n");
    CHECK(harness.Read(backend, mail.size()) == mail);
  }
}

TEST_CASE("session dialog: what is injected while EHLO waits for keywords reaches nobody") {
  const std::string before = "EHLO c\r\nSTARTTLS\r\n";
  for (const std::string& injected :
       {std::string("NOOP INJECTED\r\n"), std::string("MAIL FROM:<INJECTED@x>\r\nDATA\r\n"),
        std::string("STARTTLS\r\nNOOP INJECTED\r\n"), std::string("\x16\x03\x01INJECTED"),
        "HELLO\n" + ToyRecord("NOOP INJECTED\r\n")}) {
    for (const bool require_tls : {true, false}) {
      for (size_t cut = 1; cut <= before.size() + injected.size(); ++cut) {
        // There it may be the client's own handshake, which it has not waited for.
        if (injected.starts_with("HELLO") && cut == before.size()) continue;
        CAPTURE(injected, require_tls, cut);
        FakeKeywords cache;
        Harness harness(Waits(cache, require_tls));
        const os::UniqueFd client = SayWhileWaiting(harness, cache, before + injected, cut);
        WaitForEnd(harness, 2'000);
        // Cut right behind STARTTLS it is for the handshake to refuse.
        CHECK(harness.log.Has(cut == before.size() ? "how=handshake-" : "dialog=injection"));
        CHECK_FALSE(BackendSpokenTo(harness));
      }
    }
  }
}

TEST_CASE("session dialog: a session that ends while it waits for keywords is not told") {
  const mail::EhloKeywords keywords = {"SIZE 1000"};
  FakeKeywords cache;
  Harness::Options options = StartTls(config::Service::kSmtp);
  options.keywords = &cache;
  Harness harness(options);
  os::UniqueFd client = harness.Connect();
  ReadLine(harness, client);
  harness.Write(client, "EHLO c\r\n");
  harness.TurnUntil([&] { return !cache.waiters.empty(); });
  harness.now_ms += 61'000;
  WaitForEnd(harness);
  CHECK(cache.waiters.empty());
  CHECK(harness.log.Has("how=dialog-timeout"));
}

TEST_CASE("session dialog: a PROXY header comes before all of it") {
  Harness::Options options = StartTls();
  options.proxy_in = {.in = config::ProxyIn::kVersion1,
                      .from = {*os::Network::Parse("127.0.0.0/8")},
                      .timeout_ms = 3'000};
  Harness harness(options);
  const os::UniqueFd client = harness.Connect();
  Settle(harness);
  pollfd wait{client.get(), POLLIN, 0};
  CHECK(::poll(&wait, 1, 0) == 0);
  harness.Write(client, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 143\r\n");
  CHECK(ReadLine(harness, client).starts_with("* OK"));
}

}  // namespace postern::session
