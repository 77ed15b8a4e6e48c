#include "tls/contexts.h"

#include <openssl/err.h>

#include <string>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

using test::Connect;
using test::Connection;
using test::KeyKind;
using test::kPolicy;
using test::MakeContexts;
using test::MakePair;
using test::OnlyVersion;
using test::SharedKeys;
using test::TestPair;
using test::TestSource;

Result<std::shared_ptr<ServerContexts>> Create(TestPair pair) {
  return CreateServerContexts(std::make_unique<TestSource>(std::vector{std::move(pair)}),
                              SharedKeys().view, 4);
}

// Sets the bool behind `seen` when the server sends a server_name extension.
void NoteServerName(SSL*, int, int type, const unsigned char*, int, void* seen) {
  if (type == TLSEXT_TYPE_server_name) *static_cast<bool*>(seen) = true;
}

// The fatal alert that a client gets goes where its data of this index points.
int AlertIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}
void NoteAlert(const SSL* ssl, int where, int value) {
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
    *static_cast<int*>(SSL_get_ex_data(ssl, AlertIndex())) = value & 0xFF;
  }
}

}  // namespace

TEST_CASE("Each name gets its certificate, other names the default", "[tls][contexts]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto contexts = MakeContexts({MakePair(1, "default.example"), MakePair(2, "a.example"),
                                      MakePair(3, "rsa.example", KeyKind::kRsa)});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a.example", "a.example"},     {"A.Example", "a.example"},
      {"rsa.example", "rsa.example"}, {"unknown.example", "default.example"},
      {"", "default.example"},
  };
  for (const auto& [sni, certificate] : cases) {
    INFO("sni " << sni);
    const Connection connection = Connect(*contexts, kPolicy, sni, OnlyVersion(version));
    CHECK(connection.client->peer_name() == certificate);
    CHECK(connection.facts.certificate == certificate);
  }
}

TEST_CASE("The name in the facts is lower case and a host name", "[tls][contexts]") {
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  CHECK(Connect(*contexts, kPolicy, "MAIL.Example").facts.sni == "mail.example");
  CHECK(Connect(*contexts, kPolicy, "mail.example.").facts.sni == "mail.example");
  CHECK(Connect(*contexts, kPolicy, "a\nb").facts.sni.empty());
}

TEST_CASE("Certificates are parsed on first use and bounded in number", "[tls][contexts]") {
  const auto contexts = MakeContexts({MakePair(1, "default.example"), MakePair(2, "a.example"),
                                      MakePair(3, "b.example"), MakePair(4, "c.example")},
                                     SharedKeys().view, 2);
  CHECK(contexts->contexts() == 1);  // the default one, to know that it works
  for (const std::string name : {"a.example", "b.example", "c.example", "a.example", "a.example"}) {
    CHECK(Connect(*contexts, kPolicy, name).client->peer_name() == name);
    CHECK(contexts->contexts() == 2);
  }
}

TEST_CASE("A handshake outlives the certificates it was begun with", "[tls][contexts]") {
  auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const auto handshake = contexts->Begin(kPolicy);
  contexts.reset();
  test::TestClient client("mail.example");
  CHECK(test::Complete(*handshake, client).state == HandshakeState::kEstablished);
}

TEST_CASE("A default certificate that cannot serve is refused with the reason", "[tls][contexts]") {
  const TestPair good = MakePair(1, "mail.example");
  const TestPair other = MakePair(2, "other.example");

  TestPair mismatch = good;
  mismatch.key = other.key;
  auto made = Create(mismatch);
  REQUIRE_FALSE(made);
  CHECK(made.error().what.starts_with(
      "certificate mail.example: certificate and key do not belong together"));

  TestPair no_key = good;
  no_key.key.resize(10);
  made = Create(no_key);
  REQUIRE_FALSE(made);
  CHECK(made.error().what.find("the key cannot be parsed") != std::string::npos);

  TestPair no_certificate = good;
  no_certificate.certificate.pop_back();
  made = Create(no_certificate);
  REQUIRE_FALSE(made);
  CHECK(made.error().what.find("the chain cannot be parsed") != std::string::npos);

  TestPair trailing = good;
  trailing.certificate.push_back(std::byte{0});
  CHECK_FALSE(Create(trailing));
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("A certificate that breaks later fails its own handshakes only", "[tls][contexts]") {
  TestPair broken = MakePair(2, "broken.example");
  broken.key.clear();
  const auto contexts = MakeContexts({MakePair(1, "default.example"), broken});
  test::TestClient client("broken.example");
  const auto handshake = contexts->Begin(kPolicy);
  CHECK(test::Complete(*handshake, client).state == HandshakeState::kFailed);
  CHECK(handshake->failure() == HandshakeFailure::kInternal);
  CHECK(handshake->failure_detail().starts_with(
      "certificate broken.example: the key cannot be parsed"));
  CHECK(client.failed());  // by an alert, not by silence
  CHECK(Connect(*contexts, kPolicy, "default.example").client->established());
}

TEST_CASE("The server says that it used the name", "[tls][contexts]") {
  // RFC 6066 section 3: an empty server_name extension in the (encrypted) hello.
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const auto acknowledges = [&](const std::string& sni) {
    bool seen = false;
    test::TestClient client(sni, OnlyVersion(version));
    SSL_set_tlsext_debug_callback(client.ssl(), NoteServerName);
    SSL_set_tlsext_debug_arg(client.ssl(), &seen);
    const auto handshake = contexts->Begin(kPolicy);
    REQUIRE(test::Complete(*handshake, client).state == HandshakeState::kEstablished);
    return seen;
  };
  CHECK(acknowledges("mail.example"));
  CHECK_FALSE(acknowledges("unknown.example"));
}

TEST_CASE("strict_sni: only named hosts that have a certificate are served", "[tls][contexts]") {
  const auto contexts = MakeContexts({MakePair(1, "default.example"), MakePair(2, "a.example")});
  ListenerPolicy strict = kPolicy;
  strict.strict_sni = true;
  CHECK(Connect(*contexts, strict, "A.example.").facts.certificate == "a.example");
  CHECK(Connect(*contexts, strict, "default.example").facts.certificate == "default.example");
  struct Case {
    std::string sni;
    int version;
    std::string words;
  };
  const Case cases[] = {
      {"unknown.example", TLS1_3_VERSION, "no certificate is for unknown.example"},
      {"unknown.example", TLS1_2_VERSION, "no certificate is for unknown.example"},
      {"", TLS1_3_VERSION, "the client names no host"},
      {"", TLS1_2_VERSION, "the client names no host"},
      {"a\nb", TLS1_2_VERSION, "the client names no host"},
  };
  for (const Case& test : cases) {
    INFO(test.sni << " with " << test.version);
    test::TestClient client(test.sni, OnlyVersion(test.version));
    int alert = 0;
    SSL_set_ex_data(client.ssl(), AlertIndex(), &alert);
    SSL_set_info_callback(client.ssl(), NoteAlert);
    const auto handshake = contexts->Begin(strict);
    CHECK(test::Complete(*handshake, client).state == HandshakeState::kFailed);
    CHECK(handshake->failure() == HandshakeFailure::kNoCertificate);
    CHECK(handshake->failure_detail().starts_with(test.words));
    CHECK(handshake->failure_detail().find("default.example") != std::string::npos);
    CHECK(alert == SSL_AD_UNRECOGNIZED_NAME);
  }
}

}  // namespace postern::tls
