// How connections begin: modes, what goes with which, and ports that promise something else.
#include <algorithm>
#include <string>
#include <string_view>

#include "postern/config/config.h"
#include "tests/unit/catch.h"

namespace postern::config {
namespace {

// A listener of `service` on `address`, with further keys.
std::expected<Loaded, std::vector<Error>> Read(std::string_view service, std::string_view keys,
                                               std::string_view address = "192.0.2.1:1143",
                                               std::string_view sections = {}) {
  return Parse("[backends.b]\nservers = [\"127.0.0.1:10143\"]\n[listeners.l]\naddress = \"" +
                   std::string(address) + "\"\nservice = \"" + std::string(service) +
                   "\"\nbackend = \"b\"\n" + std::string(keys) + "\n" + std::string(sections),
               "f");
}

Listener Good(std::string_view service, std::string_view keys, std::string_view sections = {}) {
  auto loaded = Read(service, keys, "192.0.2.1:1143", sections);
  if (!loaded) FAIL(loaded.error()[0].ToString());
  return std::move(loaded->config.listeners[0]);
}

std::string Fault(std::string_view service, std::string_view keys) {
  const auto loaded = Read(service, keys);
  REQUIRE_FALSE(loaded);
  REQUIRE(loaded.error().size() == 1);
  CHECK_FALSE(loaded.error()[0].remedy.empty());
  return loaded.error()[0].ToString();
}

std::string Warning(std::string_view service, std::string_view keys, std::string_view address) {
  const auto loaded = Read(service, keys, address);
  if (!loaded) FAIL(loaded.error()[0].ToString());
  if (loaded->warnings.empty()) return {};
  CHECK(loaded->warnings.size() == 1);
  return loaded->warnings[0].ToString();
}

bool Has(const std::string& text, std::string_view part) { return text.contains(part); }

}  // namespace

TEST_CASE("listener tls: modes and defaults") {
  const std::pair<const char*, TlsMode> modes[] = {{"implicit", TlsMode::kImplicit},
                                                   {"starttls", TlsMode::kStartTls},
                                                   {"auto", TlsMode::kAuto},
                                                   {"off", TlsMode::kOff}};
  for (const auto& [text, mode] : modes) {
    const Listener listener = Good("imap", "tls = \"" + std::string(text) + "\"");
    CHECK(listener.tls == mode);
    CHECK(ToString(mode) == text);
    CHECK(listener.require_tls);
    CHECK(listener.host_name.empty());
    CHECK(listener.greeting_delay_ms == 0);
    CHECK(listener.timeouts.dialog_ms == 60'000);
  }
}

TEST_CASE("listener tls: every key is read") {
  const Listener listener = Good("smtp",
                                 "tls = \"starttls\"\nrequire_tls = false\n"
                                 "host_name = \"mail.example.com\"\ngreeting_delay = \"1500ms\"\n"
                                 "dialog_timeout = \"20s\"");
  CHECK_FALSE(listener.require_tls);
  CHECK(listener.host_name == "mail.example.com");
  CHECK(listener.greeting_delay_ms == 1'500);
  CHECK(listener.timeouts.dialog_ms == 20'000);
  CHECK(Good("imap", "tls = \"auto\"", "[timeouts]\ndialog = \"30s\"").timeouts.dialog_ms ==
        30'000);
  CHECK(Good("lmtp", "host_name = \"[192.0.2.1]\"").host_name == "[192.0.2.1]");
}

TEST_CASE("listener tls: STARTTLS is for protocols that have it") {
  for (const char* service : {"imap", "pop3", "smtp", "submission", "lmtp", "sieve"}) {
    CHECK(Good(service, "tls = \"starttls\"").tls == TlsMode::kStartTls);
  }
  for (const char* service : {"http", "raw"}) {
    CHECK(Has(Fault(service, "tls = \"starttls\""), "has no command that begins TLS"));
    CHECK(Good(service, "tls = \"auto\"\nrequire_tls = false").tls == TlsMode::kAuto);
  }
}

TEST_CASE("listener tls: keys without a meaning are faults") {
  for (const char* mode : {"implicit", "off"}) {
    const std::string tls = "tls = \"" + std::string(mode) + "\"\n";
    CHECK(Has(Fault("smtp", tls + "require_tls = true"), "f:8:15: require_tls in [listeners.l]"));
    CHECK(Has(Fault("smtp", tls + "greeting_delay = \"1s\""), "is of no use with tls = \""));
    CHECK(Has(Fault("smtp", tls + "dialog_timeout = \"1s\""), "is of no use with tls = \""));
  }
  CHECK(Has(Fault("imap", "tls = \"starttls\"\ngreeting_delay = \"1s\""),
            "is for service = \"smtp\" alone"));
  for (const char* name : {"", "a b", "a\\tb", "-\\u0000", "m\u00fcller.example", "a:b"}) {
    INFO(name);
    CHECK_FALSE(Read("smtp", "host_name = \"" + std::string(name) + "\""));
  }
}

TEST_CASE("listener tls: what decides about TLS where there is none is a warning") {
  const auto warned = [](std::string_view key, const std::string& keys) {
    const auto loaded = Read("imap", keys, "127.0.0.1:1143");
    REQUIRE(loaded);
    const std::string words =
        std::string(key) + " in [listeners.l] is of no use with tls = \"off\"";
    return std::ranges::any_of(
        loaded->warnings, [&](const Error& warning) { return warning.ToString().contains(words); });
  };
  for (const std::string keys :
       {"policy = \"modern\"", "strict_sni = true", "handshake_timeout = \"5s\""}) {
    CAPTURE(keys);
    const std::string key = keys.substr(0, keys.find(' '));
    CHECK(warned(key, "tls = \"off\"\n" + keys));
    CHECK_FALSE(warned(key, keys));
  }
}

TEST_CASE("listener tls: client certificates cannot be got around") {
  constexpr std::string_view kRequired = "client_certificates = \"required\"\nclient_ca = \"ca\"\n";
  CHECK(Good("imap", std::string(kRequired) + "tls = \"starttls\"").require_tls);
  CHECK(Has(Fault("imap", std::string(kRequired) + "tls = \"starttls\"\nrequire_tls = false"),
            "without TLS and so without any"));
  CHECK(
      Has(Fault("imap", std::string(kRequired) + "tls = \"off\""), "client certificates with tls"));
  CHECK_FALSE(Good("imap",
                   "client_certificates = \"optional\"\nclient_ca = \"ca\"\ntls = \"starttls\"\n"
                   "require_tls = false")
                  .require_tls);
}

TEST_CASE("listener tls: ports and addresses that promise something else") {
  constexpr std::string_view kStartTls = "tls = \"starttls\"";
  for (const char* port : {"25", "110", "143", "587", "4190"}) {
    const std::string address = "192.0.2.1:" + std::string(port);
    CHECK(Warning("smtp", kStartTls, address).empty());
    CHECK(Warning("smtp", "tls = \"auto\"", address).empty());
    CHECK(Has(Warning("smtp", "", address), ", or tls = \"starttls\""));
  }
  CHECK(Has(Warning("http", "", "192.0.2.1:80"), "use port 443 for HTTPS"));
  const std::pair<const char*, const char*> reverse[] = {
      {"465", "587"}, {"993", "143"}, {"995", "110"}};
  for (const auto& [port, instead] : reverse) {
    const std::string address = "192.0.2.1:" + std::string(port);
    CHECK(Has(Warning("imap", kStartTls, address), "use port " + std::string(instead)));
    CHECK(Warning("imap", "", address).empty());
    CHECK(Warning("imap", "tls = \"auto\"", address).empty());
  }
  CHECK(Has(Warning("imap", "tls = \"off\"", "*:143"), "plain text from the network on *:143"));
  CHECK(Warning("imap", "tls = \"off\"", "127.0.0.1:143").empty());
  CHECK(Warning("imap", "tls = \"off\"", "[::1]:143").empty());
  CHECK(Has(Warning("raw", "tls = \"auto\"", "192.0.2.1:7"), "lets in nobody without TLS"));
}

}  // namespace postern::config
