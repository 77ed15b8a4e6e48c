#include "postern/config/proxy.h"

#include <string>
#include <string_view>

#include "postern/config/config.h"
#include "tests/unit/catch.h"

namespace postern::config {
namespace {

// `listener` and `backend` are further keys of these tables.
std::expected<Loaded, std::vector<Error>> Read(std::string_view listener,
                                               std::string_view backend = {}) {
  return Parse(std::string("[backends.b]\nservers = [\"127.0.0.1:143\"]\n") + std::string(backend) +
                   "\n[listeners.l]\naddress = \"127.0.0.1:993\"\nservice = \"imap\"\n"
                   "backend = \"b\"\n" +
                   std::string(listener) + "\n",
               "f");
}

Config Good(std::string_view listener, std::string_view backend = {}) {
  auto loaded = Read(listener, backend);
  if (!loaded) FAIL(loaded.error()[0].ToString());
  CHECK(loaded->warnings.empty());
  return std::move(loaded->config);
}

std::string Fault(std::string_view listener, std::string_view backend = {}) {
  const auto loaded = Read(listener, backend);
  REQUIRE_FALSE(loaded);
  REQUIRE(loaded.error().size() == 1);
  CHECK_FALSE(loaded.error()[0].remedy.empty());
  return loaded.error()[0].ToString();
}

}  // namespace

TEST_CASE("proxy: off without a word") {
  const Config config = Good("");
  CHECK(config.listeners[0].proxy.in == ProxyIn::kOff);
  CHECK(config.backends[0].proxy == ProxyOut::kOff);
  CHECK(Good("proxy_protocol = \"off\"").listeners[0].proxy.in == ProxyIn::kOff);
  // What is switched off for a while may keep its networks.
  CHECK(Good("proxy_protocol = \"off\"\nproxy_from = \"10.0.0.0/8\"").listeners[0].proxy.in ==
        ProxyIn::kOff);
}

TEST_CASE("proxy: clients are identified in the words of services that have some") {
  CHECK_FALSE(Good("").backends[0].identify_clients);
  CHECK(Good("", "identify_clients = true").backends[0].identify_clients);
  for (const char* service : {"http", "raw"}) {
    const auto loaded = Parse(
        "[backends.b]\nservers = [\"127.0.0.1:143\"]\nidentify_clients = true\n"
        "[listeners.l]\naddress = \"127.0.0.1:9993\"\nbackend = \"b\"\nservice = \"" +
            std::string(service) + "\"\n",
        "f");
    REQUIRE_FALSE(loaded);
    REQUIRE(loaded.error().size() == 1);
    CHECK(loaded.error()[0].where.line == 3);
    CHECK(loaded.error()[0].what.find("which has no words for that") != std::string::npos);
  }
}

TEST_CASE("proxy: logins by client certificates") {
  const auto read = [](std::string_view backend, std::string_view listener) {
    return Parse("[backends.b]\nservers = [\"127.0.0.1:25\"]\n" + std::string(backend) +
                     "\n[listeners.l]\naddress = \"127.0.0.1:465\"\nbackend = \"b\"\n" +
                     std::string(listener) + "\n",
                 "f");
  };
  const std::string both = "identify_clients = true\nidentify_login = ";
  const std::string asking =
      "service = \"submission\"\nclient_certificates = \"required\"\nclient_ca = \"ca.pem\"";
  CHECK(Good("").backends[0].identify_login == LoginSource::kNone);
  const std::pair<const char*, LoginSource> values[] = {
      {"\"off\"", LoginSource::kNone},
      {"\"common-name\"", LoginSource::kCommonName},
      {"\"email\"", LoginSource::kEmail}};
  for (const auto& [text, value] : values) {
    const auto loaded = read(both + text, asking);
    REQUIRE(loaded);
    CHECK(loaded->warnings.empty());
    CHECK(loaded->config.backends[0].identify_login == value);
  }

  struct Case {
    std::string backend, listener;
    const char* what;
    size_t line;
  };
  const Case faults[] = {
      {both + "\"subject\"", asking, "identify_login", 4},
      {"identify_login = \"email\"", asking, "without identify_clients", 3},
      {both + "\"email\"", "service = \"imap\"", "for service \"imap\"", 4},
      {both + "\"email\"", "service = \"lmtp\"", "for service \"lmtp\"", 4},
  };
  for (const Case& test : faults) {
    CAPTURE(test.backend, test.listener);
    const auto loaded = read(test.backend, test.listener);
    REQUIRE_FALSE(loaded);
    REQUIRE(loaded.error().size() == 1);
    CHECK(loaded.error()[0].what.find(test.what) != std::string::npos);
    CHECK(loaded.error()[0].where.line == test.line);
  }
  const auto loaded = read(both + "\"email\"", "service = \"smtp\"");
  REQUIRE(loaded);
  REQUIRE(loaded->warnings.size() == 1);
  CHECK(loaded->warnings[0].what.find("nobody is logged in") != std::string::npos);
}

TEST_CASE("proxy: what a listener takes, from whom, and how long it waits") {
  const std::pair<const char*, ProxyIn> values[] = {
      {"v1", ProxyIn::kVersion1}, {"v2", ProxyIn::kVersion2}, {"any", ProxyIn::kAny}};
  for (const auto& [text, value] : values) {
    const Config config = Good(std::string("proxy_protocol = \"") + text +
                               "\"\nproxy_from = [\"10.0.0.0/8\", \"2001:db8::7\"]");
    const ProxyAcceptance& proxy = config.listeners[0].proxy;
    CHECK(proxy.in == value);
    REQUIRE(proxy.from.size() == 2);
    CHECK(proxy.from[0].ToString() == "10.0.0.0/8");
    CHECK(proxy.from[1].ToString() == "2001:db8::7/128");
    CHECK(proxy.timeout_ms == 5'000);
  }
  const Config config =
      Good("proxy_protocol = \"v2\"\nproxy_from = \"192.0.2.1\"\nproxy_timeout = \"20s\"");
  CHECK(config.listeners[0].proxy.timeout_ms == 20'000);
}

TEST_CASE("proxy: what a back end is told") {
  const std::pair<const char*, ProxyOut> values[] = {{"off", ProxyOut::kOff},
                                                     {"v1", ProxyOut::kVersion1},
                                                     {"v2", ProxyOut::kVersion2},
                                                     {"v2-tls", ProxyOut::kVersion2Tls}};
  for (const auto& [text, value] : values) {
    CHECK(Good("", std::string("proxy_protocol = \"") + text + "\"").backends[0].proxy == value);
  }
}

TEST_CASE("proxy: faults name place and remedy") {
  struct Case {
    const char* listener;
    const char* backend;
    const char* words;
  };
  const Case cases[] = {
      {"proxy_protocol = \"v3\"\nproxy_from = \"::1\"", "", "f:8:18: "},
      {"proxy_protocol = true\nproxy_from = \"::1\"", "", "f:8:18: "},
      {"proxy_protocol = \"any\"", "", "add proxy_from = "},
      {"proxy_protocol = \"any\"\nproxy_from = []", "", "proxy_from"},
      {"proxy_protocol = \"any\"\nproxy_from = [\"10.0.0.1/8\"]", "",
       "\"10.0.0.1/8\" is no network"},
      {"proxy_protocol = \"any\"\nproxy_from = [\"lb.example.com\"]", "", "is no network"},
      {"proxy_from = \"10.0.0.0/8\"", "", "proxy_from without proxy_protocol"},
      {"proxy_protocol = \"v1\"\nproxy_from = \"::1\"\nproxy_timeout = \"2m\"", "", "f:10:17: "},
      {"", "proxy_protocol = \"any\"", "f:3:18: "},
      {"", "proxy_from = \"::1\"", "f:3:1: "},
  };
  for (const Case& test : cases) {
    CAPTURE(test.listener, test.backend);
    const std::string fault = Fault(test.listener, test.backend);
    CAPTURE(fault);
    CHECK(fault.find(test.words) != std::string::npos);
  }
}

TEST_CASE("proxy: a network of everybody is warned of") {
  for (const char* network : {"0.0.0.0/0", "::/0"}) {
    const auto loaded =
        Read(std::string("proxy_protocol = \"any\"\nproxy_from = \"") + network + "\"");
    REQUIRE(loaded);
    REQUIRE(loaded->warnings.size() == 1);
    CHECK(loaded->warnings[0].what.find("any address") != std::string::npos);
  }
}

}  // namespace postern::config
