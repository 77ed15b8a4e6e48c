#include "postern/tls/policy.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"
#include "tls/names.h"
#include "tls/policy_context.h"
#include "tls/policy_knobs.h"

namespace postern::tls {
namespace {

config::Policy BuiltIn(std::string_view name) {
  return *config::FindPolicy(config::BuiltInPolicies(), name);
}

// A policy of a file, on top of a built-in one.
config::Policy Written(std::string_view base) {
  config::Policy policy = BuiltIn(base);
  policy.name = "mine";
  policy.where = {"f", 1, 1};
  return policy;
}

std::vector<Error> Check(const config::Policy& policy) {
  config::Config config;
  config.policies.push_back(policy);
  return CheckPolicies(config);
}

PolicyContextPtr Context(const config::Policy& policy) {
  auto made = MakePolicyContext(generation::SettingsOf(policy), {}, test::SharedKeys().view);
  if (!made) FAIL(made.error().ToString());
  return *made;
}

ServerContexts& Server(test::KeyKind kind = test::KeyKind::kRsa) {
  static const auto rsa = test::MakeContexts({test::MakePair(21, "rsa", test::KeyKind::kRsa)});
  static const auto ec = test::MakeContexts({test::MakePair(22, "ec")});
  return kind == test::KeyKind::kRsa ? *rsa : *ec;
}

// What a client with these settings gets: "TLSv1.2 AES128-SHA", or why it gets nothing.
std::string Outcome(const config::Policy& policy, int version, const char* ciphers,
                    test::KeyKind kind = test::KeyKind::kRsa) {
  ListenerPolicy listener = test::kPolicy;
  listener.policy = Context(policy);
  test::TestClient client({}, [&](SSL_CTX* context) {
    test::OnlyVersion(version)(context);
    if (ciphers != nullptr) SSL_CTX_set_cipher_list(context, ciphers);
  });
  const auto handshake = Server(kind).Begin(listener);
  if (test::Complete(*handshake, client).state != HandshakeState::kEstablished) {
    return std::string(ToString(handshake->failure()));
  }
  const HandshakeFacts& facts = handshake->facts();
  const std::string result = std::string(facts.version) + " " + std::string(facts.cipher);
  // And octets go both ways, whichever record engine it is.
  const auto record = handshake->TakeRecord();
  CHECK(client.Read(test::SealText(*record, "* OK\r\n")) == "* OK\r\n");
  CHECK(test::OpenAll(*record, client.Write("a NOOP\r\n")) == "a NOOP\r\n");
  return result;
}

}  // namespace

TEST_CASE("policy: the library has what the built-in policies need of it", "[tls][policy]") {
  for (const config::Policy& policy : config::BuiltInPolicies()) {
    INFO(policy.name);
    const PolicyContextPtr context = Context(policy);
    CHECK(context->name == policy.name);
    CHECK(context->sslv2_hello == (policy.name == "old"));
    // X25519, P-256 and P-384 at least, behind what is post-quantum.
    REQUIRE(context->groups.size() >= 3);
    CHECK(std::ranges::equal(std::span(context->groups).last(3), std::vector{29, 23, 24}));
    CHECK(KnowsGroup("X25519MLKEM768") == (context->groups.front() == 0x11EC));
  }
  config::Config config;
  CHECK(CheckPolicies(config).empty());
}

TEST_CASE("policy: each serves the versions and suites that it is for", "[tls][policy]") {
  struct Row {
    const char* policy;
    int version;
    const char* ciphers;
    std::string_view outcome;
  };
  const Row rows[] = {
      {"modern", TLS1_3_VERSION, nullptr, "TLSv1.3 TLS_AES_256_GCM_SHA384"},
      {"modern", TLS1_2_VERSION, nullptr, "no-shared-version"},
      {"intermediate", TLS1_3_VERSION, nullptr, "TLSv1.3 TLS_AES_256_GCM_SHA384"},
      {"intermediate", TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305",
       "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305"},
      {"intermediate", TLS1_2_VERSION, "AES128-GCM-SHA256", "no-shared-cipher"},
      {"intermediate", TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", "no-shared-cipher"},
      {"intermediate", TLS1_1_VERSION, "ALL:@SECLEVEL=0", "no-shared-version"},
      {"intermediate", TLS1_VERSION, "ALL:@SECLEVEL=0", "no-shared-version"},
      {"old", TLS1_3_VERSION, nullptr, "TLSv1.3 TLS_AES_128_GCM_SHA256"},  // the server's order
      {"old", TLS1_2_VERSION, "AES128-GCM-SHA256", "TLSv1.2 AES128-GCM-SHA256"},
      {"old", TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", "TLSv1.2 DHE-RSA-AES128-GCM-SHA256"},
      {"old", TLS1_2_VERSION, "DHE-RSA-CHACHA20-POLY1305", "TLSv1.2 DHE-RSA-CHACHA20-POLY1305"},
      {"old", TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", "TLSv1.2 ECDHE-RSA-AES256-SHA384"},
      {"old", TLS1_2_VERSION, "AES256-SHA256", "TLSv1.2 AES256-SHA256"},
      {"old", TLS1_1_VERSION, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", "TLSv1.1 ECDHE-RSA-AES128-SHA"},
      {"old", TLS1_VERSION, "ECDHE-RSA-AES256-SHA:@SECLEVEL=0", "TLSv1 ECDHE-RSA-AES256-SHA"},
      {"old", TLS1_VERSION, "AES128-SHA:@SECLEVEL=0", "TLSv1 AES128-SHA"},
      {"old", TLS1_VERSION, "CAMELLIA128-SHA:@SECLEVEL=0", "no-shared-cipher"},
  };
  for (const Row& row : rows) {
    INFO(row.policy << " " << VersionName(static_cast<uint16_t>(row.version)) << " "
                    << (row.ciphers == nullptr ? "" : row.ciphers));
    CHECK(Outcome(BuiltIn(row.policy), row.version, row.ciphers) == row.outcome);
  }
  CHECK(Outcome(BuiltIn("old"), TLS1_VERSION, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
                test::KeyKind::kEcdsa) == "TLSv1 ECDHE-ECDSA-AES128-SHA");
}

TEST_CASE("policy: every knob is turned", "[tls][policy]") {
  config::Policy policy = Written("intermediate");
  policy.ciphers = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256";
  constexpr const char* kClients = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";
  CHECK(Outcome(policy, TLS1_2_VERSION, kClients) == "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256");
  policy.server_preference = true;
  CHECK(Outcome(policy, TLS1_2_VERSION, kClients) == "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384");
  policy.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
  CHECK(Outcome(policy, TLS1_3_VERSION, nullptr) == "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256");
  policy.groups = "P-384:P-999";
  CHECK(Context(policy)->groups == std::vector<uint16_t>{24});
  policy.signature_algorithms = "ECDSA+SHA256";
  CHECK(Outcome(policy, TLS1_2_VERSION, kClients) == "no-shared-cipher");
  policy.max_version = TLS1_2_VERSION;
  CHECK(Outcome(policy, TLS1_3_VERSION, nullptr) == "no-shared-version");
}

TEST_CASE("policy: what the library lacks is a fault that names it", "[tls][policy]") {
  CHECK(LibraryName().starts_with("OpenSSL 3."));
  struct Row {
    std::string config::Policy::*list;
    Where config::Policy::Places::*place;
    const char* text;
    std::string_view fault;  // empty: none
  };
  const Row rows[] = {
      {&config::Policy::ciphers, &config::Policy::Places::ciphers, "AES128-SHA:NO-SUCH-SHA",
       "asks for the cipher NO-SUCH-SHA, which OpenSSL 3."},
      {&config::Policy::ciphers, &config::Policy::Places::ciphers, "HIGH:!aNULL:!NOSUCH:@STRENGTH",
       ""},
      {&config::Policy::ciphers, &config::Policy::Places::ciphers, "HIGH:@NONSENSE",
       "cannot be used"},
      // What the security level keeps out, until somebody lowers it.
      {&config::Policy::ciphers, &config::Policy::Places::ciphers,
       "AES128-SHA:NULL-SHA:ADH-AES128-SHA", ""},
      {&config::Policy::ciphers, &config::Policy::Places::ciphers,
       "AES128-SHA:NULL-SHA:@SECLEVEL=0", "would serve NULL-SHA, which is without encryption"},
      {&config::Policy::ciphers, &config::Policy::Places::ciphers, "ALL:@SECLEVEL=0",
       ", which is without authentication"},
      {&config::Policy::ciphers, &config::Policy::Places::ciphers, "ALL:!aNULL:@SECLEVEL=0", ""},
      {&config::Policy::ciphersuites, &config::Policy::Places::ciphersuites, "TLS_FOO",
       "asks for the TLSv1.3 suite TLS_FOO"},
      {&config::Policy::groups, &config::Policy::Places::groups, "X25519:P-999",
       "asks for the group P-999"},
      {&config::Policy::signature_algorithms, &config::Policy::Places::signature_algorithms,
       "RSA+SHA256:RSA+MD9", "asks for the signature algorithm RSA+MD9"},
      {&config::Policy::signature_algorithms, &config::Policy::Places::signature_algorithms,
       "ECDSA+SHA256:rsa_pss_rsae_sha256", ""},
  };
  for (const Row& row : rows) {
    config::Policy policy = Written("intermediate");
    policy.*row.list = row.text;
    policy.places.*row.place = {"f", 7, 3};
    const std::vector<Error> faults = Check(policy);
    INFO(row.text);
    if (row.fault.empty()) {
      CHECK(faults.empty());
      continue;
    }
    REQUIRE(faults.size() == 1);
    INFO(faults[0].ToString());
    CHECK(faults[0].what.find(row.fault) != std::string::npos);
    CHECK_FALSE(faults[0].remedy.empty());
    CHECK(faults[0].where.line != 0);
  }
}

TEST_CASE("policy: versions that cannot be served are a fault", "[tls][policy]") {
  config::Policy policy = Written("old");
  policy.min_version = SSL3_VERSION;
  policy.places.versions = {"f", 3, 1};
  std::vector<Error> faults = Check(policy);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].what.starts_with("the policy \"mine\" asks for SSLv3, which OpenSSL 3."));
  // AEAD suites came with TLS 1.2.
  policy = Written("intermediate");
  policy.min_version = TLS1_1_VERSION;
  faults = Check(policy);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].what ==
        "the policy \"mine\" allows TLSv1.1, but none of its ciphers can be used "
        "with it");
  policy = Written("modern");
  policy.ciphersuites = "";
  CHECK(Check(policy).size() == 1);
}

TEST_CASE("policy: a session does not outlive the policy that it began under", "[tls][policy]") {
  // TLS 1.2 takes the suite from the session, allowed or not.
  const auto only = [](SSL_CTX* context) {
    test::OnlyVersion(TLS1_2_VERSION)(context);
    SSL_CTX_set_cipher_list(context, "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA");
  };
  // libssl's client resumes a session once only, so each case has its own.
  const auto resumes_on = [&](const config::Policy& policy) {
    ListenerPolicy listener = test::kPolicy;
    listener.policy = Context(BuiltIn("old"));
    test::Connection first = test::Connect(Server(), listener, {}, only);
    listener.policy = Context(policy);
    return test::Connect(Server(), listener, {}, only, first.client->session()).facts.resumed;
  };
  CHECK(resumes_on(BuiltIn("old")));
  CHECK_FALSE(resumes_on(BuiltIn("intermediate")));
  // The same content under another name is the same policy.
  config::Policy copy = BuiltIn("old");
  copy.name = "copy";
  CHECK(resumes_on(copy));
}

}  // namespace postern::tls
