#include "bench/load/options.h"

#include "tests/unit/catch.h"

using namespace postern::bench;

namespace {

std::expected<Command, int> Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "postern-bench");
  return ParseCommandLine(static_cast<int>(words.size()), words.data());
}

}  // namespace

TEST_CASE("HOST:PORT in its forms", "[bench]") {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
  };
  for (const Case& c : {Case{"127.0.0.1:993", "127.0.0.1", 993}, Case{"[::1]:465", "::1", 465},
                        Case{"mail.example.com:0", "mail.example.com", 0}}) {
    const auto parsed = ParseHostPort(c.text);
    REQUIRE(parsed);
    CHECK(parsed->host == c.host);
    CHECK(parsed->port == c.port);
  }
  for (const char* wrong : {"", "993", "host", "host:", "host:x", "host:65536", "host:99 ", ":99",
                            "::1:993", "[]:993"}) {
    CHECK_FALSE(ParseHostPort(wrong));
  }
}

TEST_CASE("Lists of CPUs", "[bench]") {
  CHECK(ParseCpuList("0") == std::vector<int>{0});
  CHECK(ParseCpuList("3,1") == std::vector<int>{3, 1});
  CHECK(ParseCpuList("0-2,7") == std::vector<int>{0, 1, 2, 7});
  for (const char* wrong : {"", ",", "1,", "a", "-1", "3-1", "1-", "99999", "1 2"}) {
    CHECK_FALSE(ParseCpuList(wrong));
  }
}

TEST_CASE("A whole command line", "[bench]") {
  const auto command = Parse({"handshake", "--resume", "--tls", "1.3", "--processes", "2", "--cpu",
                              "0,1", "--count", "500", "[::1]:993"});
  REQUIRE(command);
  const auto& options = std::get<LoadOptions>(*command);
  CHECK(options.mode == ModeKind::kHandshake);
  CHECK(options.resume);
  CHECK(options.tls == TlsChoice::k13);
  CHECK(options.processes == 2);
  CHECK(options.connections == 32);
  CHECK(options.count == 500);
  CHECK(options.duration_s == 0);
  CHECK(options.TargetText() == "[::1]:993");
}

TEST_CASE("Without --duration and --count it is ten seconds", "[bench]") {
  const auto command = Parse({"echo", "127.0.0.1:1"});
  REQUIRE(command);
  CHECK(std::get<LoadOptions>(*command).duration_s == 10);
}

TEST_CASE("The service that is asked at the end of idle is STARTTLS's", "[bench]") {
  const auto service = [](std::vector<const char*> words) {
    const auto command = Parse(std::move(words));
    REQUIRE(command);
    return std::get<LoadOptions>(*command).service;
  };
  CHECK(service({"idle", "127.0.0.1:1"}) == Service::kRaw);
  CHECK(service({"idle", "--service", "smtp", "127.0.0.1:1"}) == Service::kSmtp);
  CHECK(service({"idle", "--starttls", "pop3", "127.0.0.1:1"}) == Service::kPop3);
  CHECK(service({"mix", "127.0.0.1:1"}) == Service::kImap);
  CHECK(service({"mix", "--starttls", "smtp", "127.0.0.1:1"}) == Service::kSmtp);
}

TEST_CASE("What contradicts itself is refused with status 2", "[bench]") {
  for (const std::vector<const char*>& words : std::vector<std::vector<const char*>>{
           {},
           {"dance", "127.0.0.1:1"},
           {"handshake"},
           {"handshake", "127.0.0.1"},
           {"handshake", "--tls", "1.1", "127.0.0.1:1"},
           {"handshake", "--size", "4", "127.0.0.1:1"},
           {"handshake", "--resume", "--tls", "plain", "127.0.0.1:1"},
           {"handshake", "--resume", "--no-tickets", "127.0.0.1:1"},
           {"handshake", "--starttls", "imap", "--tls", "plain", "127.0.0.1:1"},
           {"idle", "--starttls", "imap", "--service", "pop3", "127.0.0.1:1"},
           {"idle", "--starttls", "imap", "--service", "raw", "127.0.0.1:1"},
           {"mix", "--starttls", "smtp", "--service", "imap", "127.0.0.1:1"},
           {"mix", "--service", "raw", "127.0.0.1:1"},
           {"echo", "--starttls", "imap", "127.0.0.1:1"},
           {"bulk", "--starttls", "smtp", "127.0.0.1:1"},
           {"idle", "--warmup", "1", "127.0.0.1:1"},
           {"handshake", "--groups", "nonsense", "127.0.0.1:1"},
           {"handshake", "--sigalgs", "nonsense", "127.0.0.1:1"},
           {"echo", "--processes", "4", "--connections", "2", "127.0.0.1:1"},
           {"echo", "--cpu", "x", "127.0.0.1:1"},
           {"server", "wire"},
           {"server", "sing", "--listen", "127.0.0.1:0"}}) {
    const auto command = Parse(words);
    REQUIRE_FALSE(command);
    CHECK(command.error() == kExitUsage);
  }
}
