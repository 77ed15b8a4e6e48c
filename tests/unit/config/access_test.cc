#include <string>
#include <string_view>

#include "postern/config/config.h"
#include "tests/unit/catch.h"

namespace postern::config {
namespace {

std::expected<Loaded, std::vector<Error>> Read(std::string_view limits,
                                               std::string_view listener = {}) {
  return Parse(std::string("[limits]\n") + std::string(limits) +
                   "\n[backends.b]\nservers = [\"127.0.0.1:143\"]\n"
                   "[listeners.l]\naddress = \"127.0.0.1:993\"\nservice = \"imap\"\n"
                   "backend = \"b\"\n" +
                   std::string(listener) + "\n",
               "f");
}

Config Good(std::string_view limits, std::string_view listener = {}) {
  auto loaded = Read(limits, listener);
  if (!loaded) FAIL(loaded.error()[0].ToString());
  CHECK(loaded->warnings.empty());
  return std::move(loaded->config);
}

std::string Fault(std::string_view limits, std::string_view listener = {}) {
  const auto loaded = Read(limits, listener);
  REQUIRE_FALSE(loaded);
  REQUIRE(loaded.error().size() == 1);
  CHECK_FALSE(loaded.error()[0].remedy.empty());
  return loaded.error()[0].ToString();
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("limits: addresses are not limited without a word") {
  const Config config = Good("");
  const AddressLimits& limits = config.limits.of_address;
  CHECK(limits.connections == 0);
  CHECK(limits.connections_per_second == 0);
  CHECK(limits.failures == 0);
  CHECK(config.limits.handshakes == 0);
  CHECK(config.limits.addresses == 65'536);
  CHECK(config.limits.memory_reserve_mib == 64);
  CHECK(config.listeners[0].access.allow.empty());
  CHECK(config.listeners[0].access.connections == 0);
  CHECK(config.listeners[0].timeouts.first_byte_ms == 0);
  CHECK(config.listeners[0].timeouts.unread_ms == 300'000);
}

TEST_CASE("limits: what is written is what holds") {
  const Config config = Good(
      "handshakes = 500\nconnections_per_address = 20\nconnections_per_second_per_address = 3\n"
      "failures_per_address = 5\nfailure_window = \"2m\"\npenalty = \"30s\"\npenalty_max = \"1d\"\n"
      "exempt = [\"10.0.0.0/8\", \"fd00::/8\"]\naddresses = 4096\nmemory_reserve_mib = 0",
      "connections = 100\nconnections_per_address = 4\nfirst_byte_timeout = \"3s\"\n"
      "unread_timeout = \"1m\"");
  const AddressLimits& limits = config.limits.of_address;
  CHECK(config.limits.handshakes == 500);
  CHECK(limits.connections == 20);
  CHECK(limits.connections_per_second == 3);
  CHECK(limits.burst == 30);
  CHECK(limits.failures == 5);
  CHECK(limits.failure_window_ms == 120'000);
  CHECK(limits.penalty_ms == 30'000);
  CHECK(limits.penalty_max_ms == 86'400'000);
  REQUIRE(limits.exempt.size() == 2);
  CHECK(limits.exempt[0].ToString() == "10.0.0.0/8");
  CHECK(config.limits.addresses == 4096);
  CHECK(config.limits.memory_reserve_mib == 0);
  CHECK(config.listeners[0].access.connections == 100);
  CHECK(config.listeners[0].access.connections_per_address == 4);
  CHECK(config.listeners[0].timeouts.first_byte_ms == 3'000);
  CHECK(config.listeners[0].timeouts.unread_ms == 60'000);
  CHECK(Good("connections_per_second_per_address = 3\nburst_per_address = 4")
            .limits.of_address.burst == 4);
}

TEST_CASE("limits: a listener has the lists of [limits] unless it has its own") {
  const std::string_view lists = "allow = \"192.0.2.0/24\"\ndeny = [\"192.0.2.7\"]";
  const Config taken = Good(lists);
  REQUIRE(taken.listeners[0].access.allow.size() == 1);
  REQUIRE(taken.listeners[0].access.deny.size() == 1);
  const Config own = Good(lists, "deny = [\"198.51.100.0/24\", \"::1\"]");
  CHECK(own.listeners[0].access.allow.size() == 1);
  REQUIRE(own.listeners[0].access.deny.size() == 2);
  CHECK(own.listeners[0].access.deny[1].ToString() == "::1/128");
}

TEST_CASE("limits: an empty list denies nobody, and lets in nobody knows whom") {
  CHECK(Good("deny = \"::1\"", "deny = []").listeners[0].access.deny.empty());
  CHECK(Good("exempt = []").limits.of_address.exempt.empty());
  CHECK(Has(Fault("allow = []"), "allow in [limits] is an empty list"));
  CHECK(Has(Fault("", "allow = []"), "allow in [listeners.l] is an empty list"));
  const Config everybody = Good("allow = \"::1\"", "allow = [\"0.0.0.0/0\", \"::/0\"]");
  CHECK(everybody.listeners[0].access.allow.size() == 2);
}

TEST_CASE("limits: faults name place and remedy") {
  CHECK(Has(Fault("deny = [\"10.0.0.1/8\"]"), "f:2:9: \"10.0.0.1/8\" is no network"));
  CHECK(Has(Fault("exempt = \"friends\""), "is no network"));
  CHECK(Has(Fault("", "allow = [\"10.0.0.0/8\", \"x\"]"), "\"x\" is no network"));
  CHECK(Has(Fault("burst_per_address = 5"), "without connections_per_second_per_address"));
  CHECK(Has(Fault("penalty = \"2h\""), "penalty_max, one hour"));
  CHECK(Has(Fault("penalty = \"2m\"\npenalty_max = \"1m\""), "f:3:15: "));
  CHECK(Has(Fault("failures_per_address = 5000"), "out of range"));
  CHECK(Has(Fault("addresses = 5"), "out of range"));
  CHECK(Has(Fault("connections_per_adress = 5"), "connections_per_address"));
  CHECK(Has(Fault("", "first_byte_timeout = 0"), "first_byte_timeout"));
  std::string many = "deny = [";
  for (int i = 0; i < 1001; ++i)
    many += "\"10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "\",";
  CHECK(Has(Fault(many + "]"), "names 1001 networks"));
}

}  // namespace postern::config
