// What servers offer in EHLO, asked for before a client wants to know.
#include "postern/session/probed_keywords.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;
using test::ToyRecord;

Harness::Options StartTls(config::Service service = config::Service::kSmtp) {
  Harness::Options options;
  options.service = service;
  options.tls = config::TlsMode::kStartTls;
  return options;
}

struct Waiter final : KeywordWaiter {
  void OnKeywords(const mail::EhloKeywords* keywords) override {
    ++told;
    heard = keywords != nullptr ? std::optional(*keywords) : std::nullopt;
  }
  int told = 0;
  std::optional<mail::EhloKeywords> heard;
};

// A worker's cache, its back end played by the test.
struct Asking {
  explicit Asking(Harness::Options options = StartTls()) : harness(std::move(options)) {}
  ~Asking() {
    cache.Stop();
    harness.TurnUntil([&] { return cache.idle(); });
  }

  void Serve() { cache.Serve(harness.settings, std::make_shared<test::ToyClientContexts>()); }
  const mail::EhloKeywords* Find() { return cache.Find(harness.settings, 0); }
  std::string ReadLine(const os::UniqueFd& fd) {
    std::string line;
    while (!line.ends_with('\n')) {
      const std::string octet = harness.Read(fd, 1);
      if (octet.empty()) break;
      line += octet;
    }
    return line;
  }
  bool SpokenTo() {
    for (int i = 0; i < 5; ++i) harness.Turn();
    pollfd wait{harness.backend_listener.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }
  // The server's part of a probe to its end.
  void Answer(std::string_view keywords = "250-mx\r\n250-SIZE 1000\r\n250 HELP\r\n") {
    const os::UniqueFd server = harness.AcceptBackend();
    harness.Write(server, "220 mx ESMTP\r\n");
    CHECK(ReadLine(server) == "EHLO mx.test\r\n");
    harness.Write(server, keywords);
    CHECK(ReadLine(server) == "QUIT\r\n");
    harness.Write(server, "221 bye\r\n");
  }
  void AnswerAndEnd() {
    Answer();
    harness.TurnUntil([&] { return cache.idle(); });
  }
  void Refuse() {
    {
      const os::UniqueFd server = harness.AcceptBackend();
      harness.Write(server, "554 not you\r\n");
      harness.TurnUntil([&] { return cache.idle(); });
    }
  }

  Harness harness;
  ProbedKeywords cache{{.backends = *harness.backend_io,
                        .tls_backends = *harness.tls_backend_io,
                        .timers = harness.timers,
                        .picker = harness.picker,
                        .now_ms = harness.now_ms,
                        .scratch = harness.scratch}};
};

const mail::EhloKeywords kOffered = {"SIZE 1000", "HELP"};

}  // namespace

TEST_CASE("probed keywords: a back end is asked when a generation begins, and not again") {
  Asking asking;
  CHECK(asking.Find() == nullptr);
  asking.Serve();
  asking.AnswerAndEnd();
  REQUIRE(asking.Find() != nullptr);
  CHECK(*asking.Find() == kOffered);
  CHECK_FALSE(asking.SpokenTo());
}

TEST_CASE("probed keywords: nobody is asked for listeners that answer no EHLO before TLS") {
  Harness::Options options = StartTls();
  SECTION("TLS is implicit") { options.tls = config::TlsMode::kImplicit; }
  SECTION("another protocol") { options.service = config::Service::kImap; }
  SECTION("the administrator does not want it") { options.ehlo_probe = false; }
  Asking asking(options);
  asking.Serve();
  Waiter waiter;
  CHECK_FALSE(asking.cache.Want(asking.harness.settings, 0, waiter));
  CHECK_FALSE(asking.SpokenTo());
}

TEST_CASE("probed keywords: a client waits for the answer, for a while") {
  Asking asking;
  asking.Serve();
  Waiter waiter;
  REQUIRE(asking.cache.Want(asking.harness.settings, 0, waiter));
  SECTION("and hears it") {
    asking.Answer();
    CHECK(waiter.told == 1);
    CHECK(waiter.heard == kOffered);
  }
  SECTION("but not for long; the next one hears what comes later") {
    const os::UniqueFd server = asking.harness.AcceptBackend();
    asking.harness.now_ms += ProbedKeywords::kMostWaitMs + 100;
    asking.harness.TurnUntil([&] { return waiter.told == 1; });
    CHECK(waiter.heard == std::nullopt);
    asking.harness.Write(server, "220 mx\r\n");
    CHECK(asking.ReadLine(server) == "EHLO mx.test\r\n");
    asking.harness.Write(server, "250-mx\r\n250 LATE\r\n");
    CHECK(asking.ReadLine(server) == "QUIT\r\n");
    REQUIRE(asking.Find() != nullptr);
    CHECK(*asking.Find() == mail::EhloKeywords{"LATE"});
  }
  SECTION("or is told at once when the probe fails") {
    asking.Refuse();
    CHECK(waiter.told == 1);
    CHECK(waiter.heard == std::nullopt);
  }
}

TEST_CASE("probed keywords: LMTP is asked with LHLO") {
  Asking asking(StartTls(config::Service::kLmtp));
  asking.Serve();
  const os::UniqueFd server = asking.harness.AcceptBackend();
  asking.harness.Write(server, "220 mx LMTP\r\n");
  CHECK(asking.ReadLine(server) == "LHLO mx.test\r\n");
}

TEST_CASE("probed keywords: what the back end wants first, it gets") {
  Harness::Options options = StartTls();
  options.backend_tls = config::BackendTlsMode::kStartTls;
  options.proxy_out = config::ProxyOut::kVersion1;
  Asking asking(options);
  asking.Serve();
  Harness& harness = asking.harness;
  const os::UniqueFd server = harness.AcceptBackend();
  CHECK(asking.ReadLine(server) == "PROXY TCP4 127.0.0.1 127.0.0.1 25 25\r\n");
  harness.Write(server, "220 mx\r\n");
  CHECK(asking.ReadLine(server) == "EHLO mx.test\r\n");
  harness.Write(server, "250-mx\r\n250-BEFORE\r\n250 STARTTLS\r\n");
  CHECK(asking.ReadLine(server) == "STARTTLS\r\n");
  SECTION("and what it offers over TLS counts") {
    harness.Write(server, "220 go\r\n");
    CHECK(harness.Read(server, 6) == "HELLO\n");
    harness.Write(server, "WELCOME\n");
    const std::string ehlo = ToyRecord("EHLO mx.test\r\n");
    CHECK(harness.Read(server, ehlo.size()) == ehlo);
    harness.Write(server, ToyRecord("250-mx\r\n250 AUTH PLAIN\r\n"));
    const std::string quit = ToyRecord("QUIT\r\n");
    CHECK(harness.Read(server, quit.size()) == quit);
    harness.Write(server, ToyRecord("221 bye\r\n") + ToyRecord("bye", 21));
    CHECK(harness.Read(server, ToyRecord("bye", 21).size()) == ToyRecord("bye", 21));
    REQUIRE(asking.Find() != nullptr);
    CHECK(*asking.Find() == mail::EhloKeywords{"AUTH PLAIN"});
  }
  SECTION("octets behind its answer to STARTTLS are an injection") {
    harness.Write(server, "220 go\r\n250 INJECTED\r\n");
    harness.TurnUntil([&] { return asking.cache.idle(); });
    CHECK(asking.Find() == nullptr);
    CHECK(harness.log.Has("octets behind its answer to STARTTLS"));
  }
  SECTION("a server that fails TLS hears the alert") {
    harness.Write(server, "220 go\r\n");
    CHECK(harness.Read(server, 6) == "HELLO\n");
    harness.Write(server, "NOT TOY\n");
    int error = 0;
    CHECK(harness.ReadAll(server, error) == "ALERT\n");
    CHECK(asking.Find() == nullptr);
  }
}

TEST_CASE("probed keywords: implicit TLS, and LOCAL in version 2") {
  Harness::Options options = StartTls();
  options.backend_tls = config::BackendTlsMode::kImplicit;
  options.proxy_out = config::ProxyOut::kVersion2Tls;
  Asking asking(options);
  asking.Serve();
  const os::UniqueFd server = asking.harness.AcceptBackend();
  const std::string local("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
  CHECK(asking.harness.Read(server, local.size()) == local);
  CHECK(asking.harness.Read(server, 6) == "HELLO\n");
  asking.harness.Write(server, "WELCOME\n" + ToyRecord("220 mx\r\n"));
  const std::string ehlo = ToyRecord("EHLO mx.test\r\n");
  CHECK(asking.harness.Read(server, ehlo.size()) == ehlo);
}

TEST_CASE("probed keywords: failures are said once, and pauses grow") {
  Asking asking;
  Harness& harness = asking.harness;
  asking.Serve();
  asking.Refuse();
  CHECK(harness.log.Has("keywords not learned"));
  CHECK(harness.log.Has("554 not you"));
  harness.log.text.clear();
  uint64_t pause = ProbedKeywords::kFirstPauseMs;
  for (int i = 0; i < 12; ++i) {
    CAPTURE(i);
    Waiter waiter;
    harness.now_ms += pause - 1;
    CHECK_FALSE(asking.cache.Want(harness.settings, 0, waiter));
    harness.now_ms += 1;
    REQUIRE(asking.cache.Want(harness.settings, 0, waiter));
    asking.Refuse();
    CHECK(waiter.told == 1);
    CHECK_FALSE(harness.log.Has("keywords not learned"));
    pause = std::min(pause * 2, ProbedKeywords::kLongestPauseMs);
  }
  harness.now_ms += pause;
  Waiter waiter;
  REQUIRE(asking.cache.Want(harness.settings, 0, waiter));
  asking.AnswerAndEnd();
  CHECK(waiter.heard == kOffered);
  // What fails from then on is news again.
  harness.now_ms += ProbedKeywords::kFreshMs;
  CHECK(asking.Find() != nullptr);
  asking.Refuse();
  CHECK(harness.log.Has("keywords not learned"));
  CHECK(*asking.Find() == kOffered);  // better than nothing
}

TEST_CASE("probed keywords: what has become old is asked for again, and serves meanwhile") {
  Asking asking;
  asking.Serve();
  asking.AnswerAndEnd();
  asking.harness.now_ms += ProbedKeywords::kFreshMs - 1;
  CHECK(asking.Find() != nullptr);
  CHECK_FALSE(asking.SpokenTo());
  asking.harness.now_ms += 1;
  CHECK(*asking.Find() == kOffered);
  CHECK(*asking.Find() == kOffered);  // one probe is enough
  asking.Answer("250-mx\r\n250 NEW\r\n");
  CHECK(*asking.Find() == mail::EhloKeywords{"NEW"});
}

TEST_CASE("probed keywords: what a session heard needs no probe") {
  Asking asking;
  asking.Serve();
  asking.AnswerAndEnd();
  asking.harness.now_ms += ProbedKeywords::kFreshMs;
  asking.cache.Learn(asking.harness.settings, 0, {"HEARD"});
  CHECK(*asking.Find() == mail::EhloKeywords{"HEARD"});
  CHECK_FALSE(asking.SpokenTo());
}

TEST_CASE("probed keywords: a silent server has its time, and then the next one is asked") {
  Harness second;
  Harness::Options options = StartTls();
  os::UniqueFd silent;
  auto made = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(made);
  options.servers = {test::BoundAddress(made->get()),
                     test::BoundAddress(second.backend_listener.get())};
  Asking asking(options);
  asking.Serve();
  asking.harness.TurnUntil([&] {
    silent.Reset(::accept4(made->get(), nullptr, nullptr, SOCK_NONBLOCK));
    return silent.valid();
  });
  for (int i = 0; i < 5; ++i) asking.harness.Turn();
  asking.harness.now_ms += 30'100;  // greeting_timeout
  os::UniqueFd server;
  asking.harness.TurnUntil([&] {
    server.Reset(::accept4(second.backend_listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    return server.valid();
  });
  asking.harness.Write(server, "220 mx\r\n");
  CHECK(asking.ReadLine(server) == "EHLO mx.test\r\n");
}

TEST_CASE("probed keywords: so many at once, the others follow") {
  Asking asking;
  const os::SocketAddress server = test::BoundAddress(asking.harness.backend_listener.get());
  config::Config config;
  std::vector<generation::ResolvedServer> resolved;
  for (size_t i = 0; i < ProbedKeywords::kMostProbes + 2; ++i) {
    const std::string name = "b" + std::to_string(i);
    config.backends.push_back({.name = name});
    config.backends.back().servers.push_back({.text = server.ToString()});
    resolved.push_back({{server}, {}});
    config::Listener listener = {.name = name, .service = config::Service::kSmtp};
    listener.tls = config::TlsMode::kStartTls;
    listener.backend = name;
    listener.host_name = "mx.test";
    listener.timeouts = {.handshake_ms = 10'000, .dialog_ms = 60'000, .idle_ms = 300'000};
    config.listeners.push_back(listener);
  }
  auto memory = os::MakeSealed("settings", generation::BuildSettings(config, 8, {}, resolved));
  REQUIRE(memory);
  auto mapped = generation::Settings::Map(memory->get());
  REQUIRE(mapped);
  asking.cache.Serve(*mapped, nullptr);
  std::vector<os::UniqueFd> servers;
  for (size_t i = 0; i < ProbedKeywords::kMostProbes; ++i) {
    servers.push_back(asking.harness.AcceptBackend());
  }
  CHECK_FALSE(asking.SpokenTo());
  servers.pop_back();
  servers.push_back(asking.harness.AcceptBackend());
  CHECK_FALSE(asking.SpokenTo());
  servers.pop_back();
  servers.push_back(asking.harness.AcceptBackend());
}

TEST_CASE("probed keywords: an end waits for nobody") {
  Asking asking;
  asking.Serve();
  Waiter waiter;
  REQUIRE(asking.cache.Want(asking.harness.settings, 0, waiter));
  const os::UniqueFd server = asking.harness.AcceptBackend();
  asking.cache.Stop();
  CHECK(waiter.told == 1);
  asking.harness.TurnUntil([&] { return asking.cache.idle(); });
  CHECK_FALSE(asking.cache.Want(asking.harness.settings, 0, waiter));
}

TEST_CASE("probed keywords: a new generation asks anew, and lets go of the one before") {
  Asking asking;
  asking.Serve();
  const os::UniqueFd before = asking.harness.AcceptBackend();
  Waiter waiter;
  REQUIRE(asking.cache.Want(asking.harness.settings, 0, waiter));
  Harness other(StartTls());
  const generation::SettingsPtr first = asking.harness.settings;
  asking.cache.Serve(other.settings, nullptr);
  CHECK_FALSE(asking.cache.Want(first, 0, waiter));  // it asks nobody any more
  os::UniqueFd after;
  asking.harness.TurnUntil([&] {
    after.Reset(::accept4(other.backend_listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    return after.valid();
  });
  int error = 0;
  asking.harness.ReadAll(before, error);
  CHECK(error == ECONNRESET);
  asking.harness.settings = nullptr;
  CHECK(first.use_count() == 1);
  // Who waited hears what the new one says.
  asking.harness.Write(after, "220 mx\r\n");
  CHECK(asking.ReadLine(after) == "EHLO mx.test\r\n");
  asking.harness.Write(after, "250-mx\r\n250 HELP\r\n");
  CHECK(asking.ReadLine(after) == "QUIT\r\n");
  CHECK(waiter.heard == mail::EhloKeywords{"HELP"});
}

}  // namespace postern::session
