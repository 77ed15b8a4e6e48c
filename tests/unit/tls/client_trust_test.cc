#include "tls/client_trust.h"

#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/authority.h"
#include "tests/unit/tls/harness.h"
#include "tls/peer_certificate.h"
#include "tls/policy_context.h"

namespace postern::tls {
namespace {

using config::ClientMode;
using test::Authority;

const Authority& Ours() {
  static const Authority authority("Our CA");
  return authority;
}

ServerContexts& Server() {
  static const auto contexts = test::MakeContexts({test::MakePair(41, "mail.example")});
  return *contexts;
}

// What a listener asks for, with the memory behind it.
struct Asking {
  ClientMode mode = ClientMode::kRequired;
  std::vector<std::vector<std::byte>> certificates{Ours().der()};
  std::vector<std::vector<std::byte>> crls;
  uint32_t depth = 3;

  ListenerPolicy Policy() const {
    generation::TrustSettings trust{{certificates.begin(), certificates.end()},
                                    {crls.begin(), crls.end()}};
    const config::Policy* policy =
        config::FindPolicy(config::BuiltInPolicies(), config::kDefaultPolicy);
    auto made = MakePolicyContext(generation::SettingsOf(*policy), {mode, depth, &trust},
                                  test::SharedKeys().view);
    if (!made) FAIL(made.error().ToString());
    ListenerPolicy listener = test::kPolicy;
    listener.policy = *made;
    return listener;
  }
};

test::TestClient::Configure As(const Authority::Client* client, int version) {
  return [client, version](SSL_CTX* context) {
    test::OnlyVersion(version)(context);
    if (client == nullptr) return;
    SSL_CTX_use_certificate(context, client->certificate.get());
    SSL_CTX_use_PrivateKey(context, client->key.get());
    for (X509* above : client->chain) SSL_CTX_add1_chain_cert(context, above);
  };
}

std::string Subject(Handshake& handshake) {
  const auto& peer = handshake.facts().peer;
  return peer == nullptr ? std::string() : peer->subject;
}

// "let in: SUBJECT", or the failure with its words.
std::string Outcome(const Asking& asking, const Authority::Client* client,
                    int version = TLS1_3_VERSION) {
  test::TestClient peer({}, As(client, version));
  const auto handshake = Server().Begin(asking.Policy());
  const test::Finished finished = test::Complete(*handshake, peer);
  if (finished.state == HandshakeState::kEstablished) return "let in: " + Subject(*handshake);
  return std::string(ToString(handshake->failure())) + ": " + handshake->failure_detail();
}

bool Says(const std::string& text, std::string_view phrase) {
  if (text.find(phrase) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
  return false;
}

}  // namespace

TEST_CASE("client certificates: required, optional and off", "[tls][clients]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const Authority::Client alice = Ours().Issue("alice");
  const Authority theirs("Their CA");
  const Authority::Client mallory = theirs.Issue("mallory");
  Asking asking;
  CHECK(Outcome(asking, &alice, version) == "let in: CN=alice");
  CHECK(Outcome(asking, nullptr, version) ==
        "client-certificate-missing: the client sent no certificate, which this listener "
        "requires; client_certificates = \"optional\" would admit it");
  CHECK(Outcome(asking, &mallory, version) ==
        "client-certificate-refused: the client's certificate (CN=mallory) is from an authority "
        "(CN=Their CA) that is not in client_ca");
  asking.mode = ClientMode::kOptional;
  CHECK(Outcome(asking, &alice, version) == "let in: CN=alice");
  CHECK(Outcome(asking, nullptr, version) == "let in: ");
  CHECK(Outcome(asking, &mallory, version).starts_with("client-certificate-refused: "));

  // Without being asked a client sends none.
  test::TestClient peer({}, As(&mallory, version));
  const auto handshake = Server().Begin(test::kPolicy);
  CHECK(test::Complete(*handshake, peer).state == HandshakeState::kEstablished);
  CHECK(handshake->facts().peer == nullptr);
}

TEST_CASE("client certificates: octets go both ways behind one", "[tls][clients]") {
  // Its messages come between the client's first flight and its Finished: both engines count.
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const Authority::Client alice = Ours().Issue("alice");
  test::Connection connection = test::Connect(Server(), Asking{}.Policy(), {}, As(&alice, version));
  CHECK(connection.client->Read(test::SealText(*connection.record, "* OK\r\n")) == "* OK\r\n");
  CHECK(test::OpenAll(*connection.record, connection.client->Write("a\r\n")) == "a\r\n");
}

TEST_CASE("client certificates: expired, revoked, too deep", "[tls][clients]") {
  const Authority::Client late = Ours().Issue("late", -60);
  CHECK(Says(Outcome({}, &late), "(CN=late) has expired"));

  const Authority::Client alice = Ours().Issue("alice");
  const Authority::Client bob = Ours().Issue("bob");
  Asking asking;
  asking.crls = {Ours().List(86'400, bob.certificate.get())};
  CHECK(Outcome(asking, &alice) == "let in: CN=alice");
  CHECK(Says(Outcome(asking, &bob), "client-certificate-refused: "));
  CHECK(Says(Outcome(asking, &bob), "(CN=bob) is revoked"));
  asking.crls = {Ours().List(-60)};
  CHECK(Says(Outcome(asking, &alice), "the revocation list is out of date"));

  const Authority below("Below", &Ours());
  const Authority::Client carol = below.Issue("carol");
  asking.crls.clear();
  CHECK(Outcome(asking, &carol) == "let in: CN=carol");
  asking.depth = 0;
  CHECK(Says(Outcome(asking, &carol), "more authorities above it than client_depth"));
  asking.depth = 3;
  // Trusting the lower authority is not trusting the one above it.
  asking.certificates = {below.der()};
  CHECK(Outcome(asking, &carol) == "let in: CN=carol");
  CHECK(Says(Outcome(asking, &alice), "is not in client_ca"));
  asking.certificates.push_back(Ours().der());
  asking.crls = {below.List(86'400)};
  CHECK(Says(Outcome(asking, &alice), "client_crl has no revocation list"));
}

TEST_CASE("client certificates: a session knows whom it let in, under its rules",
          "[tls][clients]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const Authority::Client bob = Ours().Issue("bob");
  Asking asking;
  const auto resume_on = [&](const Asking& later) {
    test::Connection first = test::Connect(Server(), asking.Policy(), {}, As(&bob, version));
    first.client->Read({});
    test::TestClient again({}, As(nullptr, version), first.client->session());
    const auto handshake = Server().Begin(later.Policy());
    if (test::Complete(*handshake, again).state != HandshakeState::kEstablished) {
      return std::string("refused");
    }
    return (handshake->facts().resumed ? "resumed " : "full ") + Subject(*handshake);
  };
  CHECK(resume_on(asking) == "resumed CN=bob");
  Asking revoked = asking;
  revoked.crls = {Ours().List(86'400, bob.certificate.get())};
  CHECK(resume_on(revoked) == "refused");
  Asking other = asking;
  other.certificates = {Authority("Their CA").der()};
  CHECK(resume_on(other) == "refused");
}

TEST_CASE("client certificates: a policy that trusts nobody is refused", "[tls][clients]") {
  const config::Policy* policy =
      config::FindPolicy(config::BuiltInPolicies(), config::kDefaultPolicy);
  const generation::TrustSettings nobody;
  for (const generation::TrustSettings* trust :
       {&nobody, static_cast<decltype(&nobody)>(nullptr)}) {
    CHECK_FALSE(MakePolicyContext(generation::SettingsOf(*policy),
                                  {ClientMode::kOptional, 3, trust}, test::SharedKeys().view)
                    .has_value());
  }
}

TEST_CASE("client certificates: subjects are bounded and escaped", "[tls][clients]") {
  const Authority::Client odd = Ours().Issue("a\nb, c=\"d\"");
  CHECK(SubjectText(odd.certificate.get()).find('\n') == std::string::npos);
  CHECK(IssuerText(odd.certificate.get()) == "CN=Our CA");
}

TEST_CASE("client certificates: what is told of one", "[tls][clients]") {
  const Authority::Client alice = Ours().Issue("alice");
  test::TestClient peer({}, As(&alice, TLS1_3_VERSION));
  const auto handshake = Server().Begin(Asking{}.Policy());
  REQUIRE(test::Complete(*handshake, peer).state == HandshakeState::kEstablished);
  const HandshakeFacts& facts = handshake->facts();
  REQUIRE(facts.peer != nullptr);
  CHECK(facts.peer->subject == "CN=alice");
  CHECK(facts.peer->common_name == "alice");
  CHECK(facts.peer->issuer == "CN=Our CA");
  CHECK(facts.peer->verified);
  CHECK(facts.peer->fingerprint.size() == 64);
  CHECK(facts.peer->fingerprint.find_first_not_of("0123456789abcdef") == std::string::npos);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  REQUIRE(X509_digest(alice.certificate.get(), EVP_sha256(), digest, &size) == 1);
  CHECK(std::stoi(facts.peer->fingerprint.substr(62), nullptr, 16) == digest[31]);
  // Of the certificate that was served.
  CHECK(facts.certificate_signature == "ecdsa-with-SHA256");
  CHECK(facts.certificate_key == "EC256");
}

TEST_CASE("client certificates: the first e-mail address", "[tls][clients]") {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"DNS:a.example", ""},
      {"DNS:a.example,email:alice@a.example,email:bob@b.example", "alice@a.example"}};
  for (const auto& [names, email] : cases) {
    CAPTURE(names);
    const auto key = pki::MakeEcKey();
    const auto certificate =
        pki::MakeCertificate({.common_name = "alice", .alternative_names = names}, key.get());
    CHECK(DescribePeer(certificate.get(), true)->email == email);
  }
}

TEST_CASE("certificates: keys by the names that PROXY headers have", "[tls][clients]") {
  CHECK(KeyName(pki::MakeEcKey("P-384").get()) == "EC384");
  CHECK(KeyName(pki::MakeRsaKey(2048).get()) == "RSA2048");
  CHECK(KeyName(pki::MakeKey("ED25519").get()) == "ED25519");
}

TEST_CASE("client trust: a common name that may be read as another one is none") {
  for (const std::string& name : {std::string("alice"), std::string("alice\0.example", 14)}) {
    const pki::X509Ptr certificate(X509_new());
    const auto* text = reinterpret_cast<const unsigned char*>(name.data());
    REQUIRE(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN",
                                       MBSTRING_UTF8, text, static_cast<int>(name.size()), -1,
                                       0) == 1);
    const auto peer = DescribePeer(certificate.get(), true);
    CHECK(peer->common_name == (name == "alice" ? name : ""));
    CHECK(peer->subject.starts_with("CN=alice"));
  }
}

}  // namespace postern::tls
