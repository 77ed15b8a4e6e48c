#include <string>
#include <string_view>

#include "postern/config/config.h"
#include "tests/unit/catch.h"

namespace postern::config {
namespace {

// A listener with `keys` in its table, and `tables` before it.
std::string File(std::string_view tables, std::string_view keys = {}) {
  return std::string(tables) + R"(
[backends.b]
servers = ["127.0.0.1:143"]
[listeners.l]
address = "127.0.0.1:993"
service = "imap"
backend = "b"
)" + std::string(keys);
}

Config Good(const std::string& text) {
  auto loaded = Parse(text, "/etc/f");
  if (!loaded.has_value()) FAIL(loaded.error()[0].ToString());
  return std::move(loaded->config);
}

// The only fault, as it is shown, or all of them when there are more.
std::string Fault(const std::string& text) {
  const auto loaded = Parse(text, "f");
  REQUIRE_FALSE(loaded.has_value());
  std::string all;
  for (const Error& error : loaded.error()) {
    CHECK_FALSE(error.remedy.empty());
    all += (all.empty() ? "" : "\n") + error.ToString();
  }
  return all;
}

bool Says(const std::string& text, std::string_view phrase) {
  if (text.find(phrase) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
  return false;
}

}  // namespace

TEST_CASE("policies: without a word it is intermediate, and three are built in") {
  const Config config = Good(File(""));
  CHECK(config.listeners[0].policy == "intermediate");
  REQUIRE(config.policies.size() == 3);
  for (const char* name : {"modern", "intermediate", "old"}) {
    const Policy* policy = FindPolicy(config.policies, name);
    REQUIRE(policy != nullptr);
    CHECK(policy->max_version == 0x0304);
    CHECK(policy->groups.starts_with("X25519MLKEM768:"));
    CHECK(policy->where.line == 0);
  }
  CHECK(FindPolicy(config.policies, "modern")->min_version == 0x0304);
  CHECK(FindPolicy(config.policies, "intermediate")->min_version == 0x0303);
  CHECK(FindPolicy(config.policies, "old")->min_version == 0x0301);
  CHECK(FindPolicy(config.policies, "old")->server_preference);
  CHECK(FindPolicy(config.policies, "none") == nullptr);
}

TEST_CASE("policies: [tls] gives the default, a listener its own") {
  CHECK(Good(File("[tls]\npolicy = \"modern\"")).listeners[0].policy == "modern");
  CHECK(Good(File("[tls]\npolicy = \"modern\"", "policy = \"old\"")).listeners[0].policy == "old");
}

TEST_CASE("policies: a policy of the file changes what it names, and nothing else") {
  const Config config = Good(File(R"(
[policies.printers]
base = "old"
versions = ["TLSv1.1", "TLSv1.0", "TLSv1.2"]
ciphers = ["AES128-SHA", "AES256-SHA"]
groups = "P-256:P-384"
signature_algorithms = "RSA+SHA256"
server_preference = false
)",
                                  "policy = \"printers\""));
  const Policy* policy = FindPolicy(config.policies, config.listeners[0].policy);
  REQUIRE(policy != nullptr);
  CHECK(policy->min_version == 0x0301);
  CHECK(policy->max_version == 0x0303);
  CHECK(policy->ciphers == "AES128-SHA:AES256-SHA");
  CHECK(policy->ciphersuites == FindPolicy(config.policies, "old")->ciphersuites);
  CHECK(policy->groups == "P-256:P-384");
  CHECK(policy->signature_algorithms == "RSA+SHA256");
  CHECK_FALSE(policy->server_preference);
  CHECK(policy->places.ciphers.line == 5);
  CHECK(policy->places.ciphersuites.line == 0);
}

TEST_CASE("policies: what cannot be is said with its place and a remedy") {
  CHECK(Says(Fault(File("[tls]\npolicy = \"intermdiate\"")),
             "f:2:10: the policy \"intermdiate\" of [tls] is not defined; did you mean "
             "\"intermediate\"?"));
  CHECK(Says(Fault(File("", "policy = \"x\"")), "the policy \"x\" of [listeners.l]"));
  CHECK(Says(Fault(File("[policies.old]\n")), "the policy \"old\" is built in"));
  CHECK(Says(Fault(File("[policies.x]\nbase = \"older\"\n")), "unknown base \"older\""));
  CHECK(Says(Fault(File("[policies.x]\nversions = [\"TLSv1.4\"]\n")), "unknown version"));
  CHECK(Says(Fault(File("[policies.x]\nversions = [\"TLSv1\", \"TLSv1.2\"]\n")),
             "leaves one out in between"));
  CHECK(Says(Fault(File("[policies.x]\nversions = []\n")), "empty list"));
  CHECK(Says(Fault(File("[policies.x]\ncipher = \"A\"\n")), "did you mean \"ciphers\"?"));
  CHECK(Says(Fault(File("[tls]\nversions = \"TLSv1.2\"\n")), "unknown key \"versions\" in [tls]"));
}

TEST_CASE("policies: one that nobody uses is a warning") {
  const auto loaded = Parse(File("[policies.spare]\nbase = \"old\"\n"), "f");
  REQUIRE(loaded.has_value());
  REQUIRE(loaded->warnings.size() == 1);
  CHECK(loaded->warnings[0].what == "no listener uses [policies.spare]");
}

TEST_CASE("client certificates: modes, files and depth") {
  const Config config = Good(File("", R"(client_certificates = "optional"
client_ca = "clients.pem"
client_crl = ["a.crl", "/b.crl"]
client_depth = 1
)"));
  const ClientCertificates& clients = config.listeners[0].clients;
  CHECK(clients.mode == ClientMode::kOptional);
  CHECK(ToString(clients.mode) == "optional");
  CHECK(clients.ca == "/etc/clients.pem");
  CHECK(clients.crls == std::vector<std::string>{"/etc/a.crl", "/b.crl"});
  CHECK(clients.depth == 1);
  CHECK(Good(File("")).listeners[0].clients.mode == ClientMode::kOff);
}

TEST_CASE("client certificates: half of it is a fault") {
  CHECK(Says(Fault(File("", "client_certificates = \"required\"")), "has no client_ca"));
  CHECK(Says(Fault(File("", "client_ca = \"a.pem\"")), "of no use while client_certificates"));
  CHECK(Says(Fault(File("", "client_crl = \"a.crl\"")), "of no use while client_certificates"));
  CHECK(Says(Fault(File("", "client_certificates = \"yes\"")), "unknown client_certificates"));
  CHECK(Says(Fault(File("", "client_certificates = \"required\"\nclient_ca = \"\"")), "is empty"));
  CHECK(Says(
      Fault(File("", "client_certificates = \"required\"\nclient_ca = \"a\"\nclient_crl = \"\"")),
      "client_crl in [listeners.l] is empty"));
}

}  // namespace postern::config
