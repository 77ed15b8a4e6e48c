// Handshakes with servers behind: our client against our own server, and against libssl's where
// that can say what ours never would.
#include "postern/tls/client_contexts.h"

#include <openssl/err.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/generation/site.h"
#include "tests/unit/tls/authority.h"
#include "tests/unit/tls/harness.h"
#include "tls/backend_context.h"
#include "tls/handshake_client.h"
#include "tls/ticket_reader.h"

namespace postern::tls {
namespace {

using test::Authority;

constexpr std::string_view kName = "mail.example.com";

const Authority& Ours() {
  static const Authority authority("Our CA");
  return authority;
}

pki::CertificateSpec SpecFor(const std::string& names, long not_after = 86'400) {
  pki::CertificateSpec spec;
  spec.common_name = "mail";
  spec.alternative_names = names;
  spec.not_after = not_after;
  return spec;
}

test::TestPair PairOf(uint64_t identity, const std::string& name, const Authority::Client& issued) {
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeWith<PKCS8_PRIV_KEY_INFO_free>> info(
      EVP_PKEY2PKCS8(issued.key.get()));
  return {identity,
          name,
          test::Der(issued.certificate.get(), i2d_X509),
          test::Der(info.get(), i2d_PKCS8_PRIV_KEY_INFO),
          pki::KeyClass::kEcdsaP256,
          {},
          0};
}

// A server of ours with one certificate.
std::shared_ptr<ServerContexts> ServerWith(const Authority::Client& issued) {
  static uint64_t identity = 7'000;
  return test::MakeContexts({PairOf(++identity, std::string(kName), issued)});
}
ServerContexts& Server() {
  static const auto contexts =
      ServerWith(Ours().Issue(SpecFor("DNS:mail.example.com,DNS:other.example.com")));
  return *contexts;
}

// A policy that has one version alone.
PolicyContextPtr OneVersion(uint16_t version) {
  static std::map<uint16_t, PolicyContextPtr> made;
  PolicyContextPtr& context = made[version];
  if (context != nullptr) return context;
  config::Policy policy = *config::FindPolicy(config::BuiltInPolicies(), "old");
  policy.min_version = policy.max_version = version;
  auto fresh = MakePolicyContext(generation::SettingsOf(policy), {}, test::SharedKeys().view);
  if (!fresh) FAIL(fresh.error().ToString());
  context = *fresh;
  return context;
}
ListenerPolicy Listening(uint16_t version = 0) {
  ListenerPolicy policy = test::kPolicy;
  if (version != 0) policy.policy = OneVersion(version);
  return policy;
}

// What a back end asks for, with the memory behind it.
struct Asking {
  std::vector<std::vector<std::byte>> authorities{Ours().der()};
  std::vector<std::vector<std::byte>> crls;
  bool verify = true;
  bool starttls = false;
  uint16_t min_version = TLS1_2_VERSION;
  const Authority::Client* certificate = nullptr;

  BackendContextPtr Context() const {
    const generation::TrustSettings trust{{authorities.begin(), authorities.end()},
                                          {crls.begin(), crls.end()}};
    BackendPolicy policy{.name = "imap",
                         .starttls = starttls,
                         .min_version = min_version,
                         .trust = verify ? &trust : nullptr};
    test::TestPair pair;
    generation::CertificateView view;
    if (certificate != nullptr) {
      pair = PairOf(9'000, "backend:imap", *certificate);
      view = {pair.identity, pair.name, {pair.certificate}, pair.key};
      policy.certificate = &view;
    }
    BackendContextMaker maker;
    auto made = maker.Make(policy);
    if (!made) FAIL(made.error().ToString());
    return *made;
  }
};

// Both ends, and what is on its way between them.
struct Both {
  std::unique_ptr<Handshake> client;
  std::unique_ptr<Handshake> server;
  HandshakeState client_state = HandshakeState::kNeedMore;
  HandshakeState server_state = HandshakeState::kNeedMore;
  std::vector<std::byte> to_client;
  std::vector<std::byte> to_server;

  std::string Outcome() const {
    if (client_state == HandshakeState::kEstablished) return "established";
    return std::string(ToString(client->failure())) + ": " + client->failure_detail();
  }
};

HandshakeState Advance(Handshake& end, std::vector<std::byte>& in, Bytes offered,
                       std::vector<std::byte>& out) {
  const Handshake::Progress progress = end.Advance(offered, out);
  REQUIRE(progress.consumed <= offered.size());
  in.erase(in.begin(), in.begin() + static_cast<ptrdiff_t>(progress.consumed));
  return progress.state;
}

// Carries octets to and fro until nothing moves; the server's come in pieces of `piece` octets.
void Carry(Both& both, size_t piece = SIZE_MAX) {
  if (both.client_state == HandshakeState::kNeedMore) {
    std::vector<std::byte> none;
    both.client_state = Advance(*both.client, none, {}, both.to_server);
  }
  size_t shown = 0;
  for (bool moved = true; moved;) {
    moved = false;
    if (both.server_state == HandshakeState::kNeedMore && !both.to_server.empty()) {
      both.server_state = Advance(*both.server, both.to_server, both.to_server, both.to_client);
      moved = true;
    }
    if (both.client_state == HandshakeState::kNeedMore && shown < both.to_client.size()) {
      shown = std::min(both.to_client.size(), piece < SIZE_MAX ? shown + piece : SIZE_MAX);
      const size_t before = both.to_client.size();
      both.client_state =
          Advance(*both.client, both.to_client, Bytes(both.to_client).first(shown), both.to_server);
      shown -= before - both.to_client.size();
      moved = true;
    }
  }
}

Both Shake(ServerContexts& server, const ListenerPolicy& policy, const BackendContextPtr& backend,
           std::string_view name = kName, size_t piece = SIZE_MAX) {
  Both both;
  both.client = BeginClientHandshake(backend, name);
  both.server = server.Begin(policy);
  Carry(both, piece);
  return both;
}

bool Says(const std::string& text, std::string_view phrase) {
  if (text.find(phrase) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
  return false;
}

// The record layers of a handshake that has to have succeeded.
struct Records {
  explicit Records(Both& both) {
    INFO(both.Outcome());
    REQUIRE(both.client_state == HandshakeState::kEstablished);
    REQUIRE(both.server_state == HandshakeState::kEstablished);
    client = both.client->TakeRecord();
    server = both.server->TakeRecord();
    // Tickets of TLS 1.3.
    CHECK(test::OpenAll(*client, both.to_client).empty());
    CHECK(test::OpenAll(*server, both.to_server).empty());
  }
  void CheckBothWays() {
    CHECK(test::OpenAll(*client, test::SealText(*server, "* OK ready\r\n")) == "* OK ready\r\n");
    CHECK(test::OpenAll(*server, test::SealText(*client, "a LOGIN\r\n")) == "a LOGIN\r\n");
    CHECK(test::OpenAll(*client, test::SealText(*server, "a OK\r\n")) == "a OK\r\n");
  }

  std::unique_ptr<Record> client;
  std::unique_ptr<Record> server;
};

// libssl's server, to be told what to do.
class TestServer {
 public:
  explicit TestServer(const Authority::Client& issued, int version,
                      const std::function<void(SSL_CTX*)>& configure = {})
      : context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_set_security_level(context_.get(), 0);
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    SSL_CTX_use_certificate(context_.get(), issued.certificate.get());
    SSL_CTX_use_PrivateKey(context_.get(), issued.key.get());
    if (configure) configure(context_.get());
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_.get());
  }

  std::vector<std::byte> Take(Bytes in) {
    if (!in.empty()) BIO_write(SSL_get_rbio(ssl_.get()), in.data(), static_cast<int>(in.size()));
    ERR_clear_error();
    if (!done_) done_ = SSL_do_handshake(ssl_.get()) == 1;
    if (done_) {
      char text[4096];
      const int size = SSL_read(ssl_.get(), text, sizeof text);
      if (size > 0) read.append(text, static_cast<size_t>(size));
    }
    ERR_clear_error();
    return Sent();
  }
  std::vector<std::byte> Write(std::string_view text) {
    REQUIRE(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) > 0);
    return Sent();
  }
  std::vector<std::byte> Sent() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &data);
    const Bytes octets = AsBytes({data, static_cast<size_t>(size)});
    std::vector<std::byte> out(octets.begin(), octets.end());
    static_cast<void>(BIO_reset(SSL_get_wbio(ssl_.get())));
    return out;
  }
  SSL* ssl() { return ssl_.get(); }
  bool done() const { return done_; }

  std::string read;  // what the client has sent

 private:
  SslCtxPtr context_;
  SslPtr ssl_;
  bool done_ = false;
};

// Carries a handshake with libssl's server through; what it sent at last stays in `rest`.
HandshakeState ShakeWith(TestServer& server, Handshake& client, std::vector<std::byte>& rest) {
  HandshakeState state = HandshakeState::kNeedMore;
  rest.clear();
  for (int round = 0; round < 10 && state == HandshakeState::kNeedMore; ++round) {
    std::vector<std::byte> out;
    state = Advance(client, rest, Bytes(rest), out);
    const std::vector<std::byte> answer = server.Take(out);
    rest.insert(rest.end(), answer.begin(), answer.end());
  }
  return state;
}

EngineChoice BothEngines() { return GENERATE(EngineChoice::kBest, EngineChoice::kLibssl); }
uint16_t BothVersions() { return GENERATE(as<uint16_t>{}, TLS1_2_VERSION, TLS1_3_VERSION); }

}  // namespace

TEST_CASE("client handshake: octets go both ways", "[tls][client]") {
  const uint16_t version = BothVersions();
  const test::EngineGuard guard(BothEngines());
  Both both = Shake(Server(), Listening(version), Asking{}.Context());
  INFO(both.Outcome());
  REQUIRE(both.client_state == HandshakeState::kEstablished);
  const HandshakeFacts facts = both.client->facts();
  CHECK(facts.version == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"));
  CHECK_FALSE(facts.cipher.empty());
  CHECK_FALSE(facts.group.empty());
  CHECK(facts.sni == kName);
  CHECK_FALSE(facts.resumed);
  REQUIRE(facts.peer != nullptr);
  CHECK(facts.peer->subject == "CN=mail");
  CHECK(facts.peer->verified);
  CHECK(both.server->facts().sni == kName);
  Records records(both);
  records.CheckBothWays();
  std::vector<std::byte> end;
  records.server->CloseNotify(end);
  Opened last;
  test::OpenAll(*records.client, end, &last);
  CHECK(last.kind == OpenKind::kCloseNotify);
  end.clear();
  records.client->CloseNotify(end);
  test::OpenAll(*records.server, end, &last);
  CHECK(last.kind == OpenKind::kCloseNotify);
}

TEST_CASE("client handshake: every suite of the small engine", "[tls][client]") {
  const test::Suite suite =
      GENERATE(from_range(std::begin(test::kSuites), std::end(test::kSuites)));
  CAPTURE(suite);
  TestServer server(Ours().Issue(SpecFor("DNS:mail.example.com")), suite.version,
                    [&](SSL_CTX* context) { test::OnlySuite(suite)(context); });
  const auto client = BeginClientHandshake(Asking{}.Context(), kName);
  std::vector<std::byte> rest;
  REQUIRE(ShakeWith(server, *client, rest) == HandshakeState::kEstablished);
  const auto record = client->TakeRecord();
  CHECK(test::OpenAll(*record, rest).empty());
  for (int i = 0; i < 3; ++i) {
    CHECK(test::OpenAll(*record, server.Write("220 ready\r\n")) == "220 ready\r\n");
    server.Take(test::SealText(*record, "EHLO x\r\n"));
  }
  CHECK(server.read == "EHLO x\r\nEHLO x\r\nEHLO x\r\n");
  CHECK(record->MemoryUsed() < 1024);
}

TEST_CASE("client handshake: the network may cut it anywhere", "[tls][client]") {
  const uint16_t version = BothVersions();
  const BackendContextPtr backend = Asking{}.Context();
  for (const size_t piece : {1, 2, 3, 5, 7, 64, 500}) {
    CAPTURE(piece);
    backend->sessions->Forget(kName);
    Both both = Shake(Server(), Listening(version), backend, kName, piece);
    Records(both).CheckBothWays();
  }
  // The first flight in two, cut at every position.
  size_t size = 2;
  for (size_t cut = 1; cut < size; cut += 3) {
    backend->sessions->Forget(kName);
    Both both;
    both.client = BeginClientHandshake(backend, kName);
    both.server = Server().Begin(Listening(version));
    std::vector<std::byte> none;
    Advance(*both.client, none, {}, both.to_server);
    Advance(*both.server, both.to_server, both.to_server, both.to_client);
    size =
        both.to_client.size();  // which the length of the signature in it moves by an octet or two
    if (cut >= size) break;
    const auto middle = both.to_client.begin() + static_cast<ptrdiff_t>(cut);
    std::vector<std::byte> second(middle, both.to_client.end());
    both.to_client.erase(middle, both.to_client.end());
    both.client_state =
        Advance(*both.client, both.to_client, Bytes(both.to_client), both.to_server);
    REQUIRE(both.client_state == HandshakeState::kNeedMore);
    both.to_client.insert(both.to_client.end(), second.begin(), second.end());
    both.client_state =
        Advance(*both.client, both.to_client, Bytes(both.to_client), both.to_server);
    Carry(both);
    INFO("cut at " << cut << ": " << both.Outcome());
    REQUIRE(both.client_state == HandshakeState::kEstablished);
  }
  CHECK(size > 200);
}

TEST_CASE("client handshake: certificates that do not verify", "[tls][client]") {
  const uint16_t version = BothVersions();
  const Authority theirs("Their CA");
  const Authority late("Late CA", &theirs, -60);
  struct Case {
    std::string what;
    Authority::Client shown;
    std::string_view name;
    HandshakeFailure failure;
    std::string_view words;
  };
  const auto refused = HandshakeFailure::kServerCertificateRefused;
  const auto mismatch = HandshakeFailure::kServerNameMismatch;
  std::vector<Case> cases;
  const auto add = [&](std::string what, Authority::Client shown, std::string_view name,
                       HandshakeFailure failure, std::string_view words) {
    cases.push_back({std::move(what), std::move(shown), name, failure, words});
  };
  add("another name", Ours().Issue(SpecFor("DNS:a.example,DNS:b.example")), kName, mismatch,
      "the server's certificate is for a.example, b.example, not for mail.example.com; if it is "
      "the "
      "right server, write tls_name = \"a.example\"");
  add("many names", Ours().Issue(SpecFor("DNS:*.w,DNS:a.w,DNS:b.w,DNS:c.w,DNS:d.w,DNS:e.w")), kName,
      mismatch,
      "for *.w, a.w, b.w, c.w and 2 more, not for mail.example.com; if it is the right server, "
      "write "
      "tls_name = \"a.w\"");
  add("a wildcard for more than a label", Ours().Issue(SpecFor("DNS:*.com")), kName, mismatch,
      "is for *.com, not for mail.example.com");
  add("a wildcard in a label", Ours().Issue(SpecFor("DNS:m*l.example.com")), kName, mismatch,
      "is for m*l.example.com, not for mail.example.com");
  pki::CertificateSpec by_subject = SpecFor("");
  by_subject.common_name = "mail.example.com";
  add("a name in the subject alone", Ours().Issue(by_subject), kName, mismatch,
      "the server's certificate (CN=mail.example.com) names no host in its subjectAltName");
  add("an address for a name", Ours().Issue(SpecFor("DNS:mail.example.com")), "192.0.2.7", mismatch,
      "is for mail.example.com, not for 192.0.2.7");
  add("an address as a name", Ours().Issue(SpecFor("DNS:192.0.2.7")), "192.0.2.7", mismatch,
      "not for 192.0.2.7");
  add("expired", Ours().Issue(SpecFor("DNS:mail.example.com", -60)), kName, refused,
      "the server's certificate (CN=mail) expired at ");
  pki::CertificateSpec early = SpecFor("DNS:mail.example.com");
  early.not_before = 3'600;
  add("not yet valid", Ours().Issue(early), kName, refused, "(CN=mail) is not valid before ");
  add("an unknown authority", theirs.Issue(SpecFor("DNS:mail.example.com")), kName, refused,
      "the server's certificate (CN=mail) is from an authority (CN=Their CA) that is not trusted; "
      "if "
      "it shall be, name a file with its certificate in tls_ca");
  add("a client's", Ours().Issue(SpecFor("DNS:mail.example.com"), "clientAuth"), kName, refused,
      "(CN=mail) is not meant for TLS servers");
  const auto self = [&] {
    Authority::Client made;
    made.key = pki::MakeEcKey();
    made.certificate = pki::MakeCertificate(SpecFor("DNS:mail.example.com"), made.key.get());
    return made;
  };
  add("self-signed", self(), kName, refused, "(CN=mail) is self-signed and not trusted");
  for (const Case& test : cases) {
    CAPTURE(test.what);
    const auto server = ServerWith(test.shown);
    const Both both = Shake(*server, Listening(version), Asking{}.Context(), test.name);
    CHECK(both.client_state == HandshakeState::kFailed);
    CHECK(both.client->failure() == test.failure);
    CHECK(Says(both.client->failure_detail(), test.words));
    // The server hears of it.
    CHECK(both.server->failure() == HandshakeFailure::kPeerAlert);
  }

  Asking asking;
  asking.authorities.push_back(late.der());
  const auto below_late = ServerWith(late.Issue(SpecFor("DNS:mail.example.com")));
  CHECK(Says(Shake(*below_late, Listening(version), asking.Context()).Outcome(),
             "server-certificate-refused: the server's certificate (CN=mail) is from an authority "
             "(CN=Late CA) that expired at "));
  const Authority::Client revoked = Ours().Issue(SpecFor("DNS:mail.example.com"));
  asking.authorities = {Ours().der()};
  asking.crls = {Ours().List(86'400, revoked.certificate.get())};
  CHECK(Says(Shake(*ServerWith(revoked), Listening(version), asking.Context()).Outcome(),
             "server-certificate-refused: the server's certificate (CN=mail) is revoked"));
}

TEST_CASE("client handshake: certificates that do verify", "[tls][client]") {
  const auto outcome = [](const std::string& names, std::string_view name) {
    const auto server = ServerWith(Ours().Issue(SpecFor(names)));
    return Shake(*server, Listening(), Asking{}.Context(), name).Outcome();
  };
  CHECK(outcome("DNS:MAIL.example.com", kName) == "established");
  CHECK(outcome("DNS:*.example.com", kName) == "established");
  CHECK(outcome("IP:192.0.2.7", "192.0.2.7") == "established");
  CHECK(outcome("IP:2001:db8::7", "2001:db8::7") == "established");
  // What is trusted may be the server's own certificate.
  Authority::Client self;
  self.key = pki::MakeEcKey();
  self.certificate = pki::MakeCertificate(SpecFor("DNS:mail.example.com"), self.key.get());
  Asking asking;
  asking.authorities = {test::Der(self.certificate.get(), i2d_X509)};
  CHECK(Shake(*ServerWith(self), Listening(), asking.Context()).Outcome() == "established");
  // Trusted or not, it has to be for the name.
  CHECK(Says(Shake(*ServerWith(self), Listening(), asking.Context(), "x.example").Outcome(),
             "server-name-mismatch: "));
}

TEST_CASE("client handshake: an address is not sent as a name", "[tls][client]") {
  const auto server = ServerWith(Ours().Issue(SpecFor("IP:192.0.2.7")));
  Both both = Shake(*server, Listening(), Asking{}.Context(), "192.0.2.7");
  CHECK(both.Outcome() == "established");
  CHECK(both.server->facts().sni.empty());
  CHECK(both.client->facts().sni.empty());
}

TEST_CASE("client handshake: without verification any certificate will do, and is told of",
          "[tls][client]") {
  const Authority theirs("Their CA");
  const auto server = ServerWith(theirs.Issue(SpecFor("DNS:x.example", -60)));
  Asking asking;
  asking.verify = false;
  for (const std::string_view name : {kName, std::string_view()}) {
    Both both = Shake(*server, Listening(), asking.Context(), name);
    REQUIRE(both.Outcome() == "established");
    REQUIRE(both.client->facts().peer != nullptr);
    CHECK_FALSE(both.client->facts().peer->verified);
    CHECK(both.client->facts().peer->issuer == "CN=Their CA");
    CHECK(both.server->facts().sni == name);
    Records(both).CheckBothWays();
  }
  // To verify without a name is to verify nothing.
  CHECK(Says(Shake(Server(), Listening(), Asking{}.Context(), "").Outcome(), "internal: "));
  CHECK(Says(
      Shake(Server(), Listening(), Asking{}.Context(), std::string_view("mail.example.com\0.x", 19))
          .Outcome(),
      "internal: "));
}

TEST_CASE("client handshake: sessions are resumed with the server that began them",
          "[tls][client]") {
  const uint16_t version = BothVersions();
  const test::EngineGuard guard(BothEngines());
  const BackendContextPtr backend = Asking{}.Context();
  const auto connect = [&](std::string_view name = kName) {
    Both both = Shake(Server(), Listening(version), backend, name);
    INFO(both.Outcome());
    REQUIRE(both.client_state == HandshakeState::kEstablished);
    const HandshakeFacts facts = both.client->facts();
    CHECK(facts.resumed == both.server->facts().resumed);
    REQUIRE(facts.peer != nullptr);
    CHECK(facts.peer->verified);
    Records(both).CheckBothWays();
    return facts.resumed;
  };
  CHECK_FALSE(connect());
  for (int i = 0; i < 5; ++i) CHECK(connect());
  CHECK_FALSE(connect("other.example.com"));
  CHECK(connect("other.example.com"));
  CHECK(connect());
  CHECK(backend->sessions->size() >= 2);
  CHECK(backend->sessions->size() <= 2 * limits::kMaxSessionsPerServer);
  // Other rules, other sessions.
  CHECK_FALSE(Shake(Server(), Listening(version), Asking{}.Context()).client->facts().resumed);
}

TEST_CASE("client handshake: a session that was begun is no way past the name", "[tls][client]") {
  // TLS 1.2 alone: the server has one certificate for both names, and the second is refused.
  const BackendContextPtr backend = Asking{}.Context();
  const auto server = ServerWith(Ours().Issue(SpecFor("DNS:mail.example.com")));
  Both first = Shake(*server, Listening(TLS1_2_VERSION), backend);
  Records(first).CheckBothWays();
  CHECK(Says(Shake(*server, Listening(TLS1_2_VERSION), backend, "other.example.com").Outcome(),
             "server-name-mismatch"));
}

TEST_CASE("client handshake: a TLS 1.3 ticket is used once, a TLS 1.2 session again",
          "[tls][client]") {
  const uint16_t version = BothVersions();
  const BackendContextPtr backend = Asking{}.Context();
  Both first = Shake(Server(), Listening(version), backend);
  Records(first).CheckBothWays();
  const size_t kept = backend->sessions->size();
  CHECK(kept == (version == TLS1_3_VERSION ? 2 : 1));
  // Two at the same time.
  const auto one = BeginClientHandshake(backend, kName);
  const auto two = BeginClientHandshake(backend, kName);
  CHECK(backend->sessions->size() == (version == TLS1_3_VERSION ? 0 : 1));
}

TEST_CASE("client handshake: sessions are forgotten when one was of no use", "[tls][client]") {
  const uint16_t version = BothVersions();
  const BackendContextPtr backend = Asking{}.Context();
  Both first = Shake(Server(), Listening(version), backend);
  Records(first).CheckBothWays();
  REQUIRE(backend->sessions->size() > 0);
  const auto client = BeginClientHandshake(backend, kName);
  std::vector<std::byte> out;
  client->Advance({}, out);
  const std::string_view alert("\x15\x03\x03\x00\x02\x02\x28", 7);
  CHECK(client->Advance(AsBytes(alert), out).state == HandshakeState::kFailed);
  CHECK(backend->sessions->size() == 0);
}

TEST_CASE("client handshake: sessions outlive generation and handshake", "[tls][client]") {
  const test::EngineGuard guard(BothEngines());
  std::weak_ptr<SessionCache> cache;
  std::unique_ptr<Record> record;
  std::vector<std::byte> tickets;
  {
    const BackendContextPtr backend = Asking{}.Context();
    cache = backend->sessions;
    Both both = Shake(Server(), Listening(TLS1_3_VERSION), backend);
    REQUIRE(both.Outcome() == "established");
    record = both.client->TakeRecord();
    tickets = both.to_client;
  }
  REQUIRE_FALSE(tickets.empty());
  CHECK(test::OpenAll(*record, tickets).empty());
  record.reset();
  CHECK(cache.expired());
}

TEST_CASE("client handshake: libssl goes when the server's data come", "[tls][client]") {
  const BackendContextPtr backend = Asking{}.Context();
  TestServer server(Ours().Issue(SpecFor("DNS:mail.example.com")), TLS1_3_VERSION);
  const auto client = BeginClientHandshake(backend, kName);
  std::vector<std::byte> rest;
  REQUIRE(ShakeWith(server, *client, rest) == HandshakeState::kEstablished);
  const auto record = client->TakeRecord();
  CHECK(record->MemoryUsed() > TicketReader::kMemory);

  SECTION("with the tickets in front") {
    CHECK(test::OpenAll(*record, rest).empty());
    CHECK(backend->sessions->size() == 2);
    CHECK(record->MemoryUsed() > TicketReader::kMemory);
    CHECK(test::OpenAll(*record, server.Write("* OK\r\n")) == "* OK\r\n");
    CHECK(record->MemoryUsed() < 1024);
  }
  SECTION("when keys are changed before") {
    CHECK(test::OpenAll(*record, rest).empty());
    REQUIRE(SSL_key_update(server.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
    CHECK(test::OpenAll(*record, server.Write("* OK\r\n")) == "* OK\r\n");
    CHECK(record->MemoryUsed() < 1024);
    std::vector<std::byte> answer;
    CHECK(record->TakeOutput(answer));
    server.Take(answer);
  }
  SECTION("tickets that come later are passed over") {
    CHECK(test::OpenAll(*record, rest).empty());
    CHECK(test::OpenAll(*record, server.Write("* OK\r\n")) == "* OK\r\n");
    REQUIRE(SSL_new_session_ticket(server.ssl()) == 1);
    CHECK(test::OpenAll(*record, server.Write("more\r\n")) == "more\r\n");
    CHECK(backend->sessions->size() == 2);
  }
  server.Take(test::SealText(*record, "a LOGIN\r\n"));
  CHECK(server.read == "a LOGIN\r\n");
  CHECK(test::OpenAll(*record, server.Write("a OK\r\n")) == "a OK\r\n");
}

TEST_CASE("client handshake: tickets without end do not keep libssl", "[tls][client]") {
  const BackendContextPtr backend = Asking{}.Context();
  TestServer server(Ours().Issue(SpecFor("DNS:mail.example.com")), TLS1_3_VERSION,
                    [](SSL_CTX* context) { SSL_CTX_set_num_tickets(context, 20); });
  const auto client = BeginClientHandshake(backend, kName);
  std::vector<std::byte> rest;
  REQUIRE(ShakeWith(server, *client, rest) == HandshakeState::kEstablished);
  const auto record = client->TakeRecord();
  CHECK(test::OpenAll(*record, rest).empty());
  CHECK(record->MemoryUsed() < 1024);
  CHECK(backend->sessions->size() == limits::kMaxSessionsPerServer);
}

TEST_CASE("client handshake: our certificate is shown to servers that ask", "[tls][client]") {
  const uint16_t version = BothVersions();
  const test::EngineGuard guard(BothEngines());
  const Authority::Client us = Ours().Issue(SpecFor("DNS:us.example"), "clientAuth");
  const auto ask = [](SSL_CTX* context) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       [](int, X509_STORE_CTX*) { return 1; });
  };
  const Authority::Client issued = Ours().Issue(SpecFor("DNS:mail.example.com"));
  Asking asking;
  asking.certificate = &us;
  {
    TestServer server(issued, version, ask);
    const auto client = BeginClientHandshake(asking.Context(), kName);
    std::vector<std::byte> rest;
    REQUIRE(ShakeWith(server, *client, rest) == HandshakeState::kEstablished);
    const X509* shown = SSL_get0_peer_certificate(server.ssl());
    REQUIRE(shown != nullptr);
    CHECK(X509_cmp(shown, us.certificate.get()) == 0);
    const auto record = client->TakeRecord();
    test::OpenAll(*record, rest);
    server.Take(test::SealText(*record, "x"));
    CHECK(server.read == "x");
  }
  // Without one, TLS 1.2 says so in the handshake, and TLS 1.3 when to us it is over.
  TestServer server(issued, version, ask);
  const auto client = BeginClientHandshake(Asking{}.Context(), kName);
  std::vector<std::byte> rest;
  const HandshakeState state = ShakeWith(server, *client, rest);
  if (version == TLS1_2_VERSION) {
    REQUIRE(state == HandshakeState::kFailed);
    CHECK(client->failure_detail() ==
          "the server sent alert handshake_failure: it takes none of our suites, or wants a "
          "certificate (tls_certificate)");
  } else {
    REQUIRE(state == HandshakeState::kEstablished);
    const auto record = client->TakeRecord();
    Opened last;
    test::OpenAll(*record, rest, &last);
    REQUIRE(last.kind == OpenKind::kFailed);
    CHECK(std::string(last.failure) ==
          "the server sent alert certificate_required: it wants a client certificate "
          "(tls_certificate)");
  }
}

TEST_CASE("client handshake: versions", "[tls][client]") {
  Asking asking;
  asking.min_version = TLS1_3_VERSION;
  CHECK(Shake(Server(), Listening(TLS1_3_VERSION), asking.Context()).Outcome() == "established");
  CHECK(Shake(Server(), Listening(TLS1_2_VERSION), asking.Context()).Outcome() ==
        "peer-alert: the server sent alert protocol_version: it speaks no version from "
        "tls_min_version = \"TLSv1.3\" on");
  asking.min_version = TLS1_VERSION;
  Both old = Shake(Server(), Listening(TLS1_VERSION), asking.Context());
  REQUIRE(old.Outcome() == "established");
  CHECK(old.client->facts().version == "TLSv1");
  Records(old).CheckBothWays();
  // A server that chooses an older version in spite of what was offered.
  const auto client = BeginClientHandshake(Asking{}.Context(), kName);
  std::vector<std::byte> out;
  client->Advance({}, out);
  std::string hello("\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02", 11);
  hello += std::string(32, 'r') + std::string("\x00\xc0\x13\x00", 4);
  CHECK(client->Advance(AsBytes(hello), out).state == HandshakeState::kFailed);
  CHECK(client->failure() == HandshakeFailure::kNoSharedVersion);
  CHECK(client->failure_detail() ==
        "the server chose TLSv1.1, this back end wants TLSv1.2 or newer; tls_min_version = "
        "\"TLSv1.1\" would take it");
}

TEST_CASE("client handshake: alerts in words", "[tls][client]") {
  const auto alert = [](char number) {
    const auto client = BeginClientHandshake(Asking{}.Context(), kName);
    std::vector<std::byte> out;
    client->Advance({}, out);
    const std::string wire = std::string("\x15\x03\x03\x00\x02\x02", 6) + number;
    REQUIRE(client->Advance(AsBytes(wire), out).state == HandshakeState::kFailed);
    CHECK(client->failure() == HandshakeFailure::kPeerAlert);
    return client->failure_detail();
  };
  CHECK(alert(112) ==
        "the server sent alert unrecognized_name: it has no certificate for mail.example.com "
        "(tls_name)");
  CHECK(alert(70) ==
        "the server sent alert protocol_version: it speaks no version from tls_min_version = "
        "\"TLSv1.2\" on");
  CHECK(alert(48) == "the server sent alert unknown_ca: it wants a certificate (tls_certificate)");
  CHECK(alert(80) == "the server sent alert internal_error");
  // What our own server says to a name that it has not.
  ListenerPolicy strict = Listening();
  strict.strict_sni = true;
  CHECK(Says(Shake(Server(), strict, Asking{}.Context(), "other.example.com").Outcome(),
             "peer-alert: the server sent alert unrecognized_name: it has no certificate for "
             "other.example.com"));
}

TEST_CASE("client handshake: a server that does not speak TLS", "[tls][client]") {
  const auto answer = [](std::string_view text, bool starttls) {
    Asking asking;
    asking.starttls = starttls;
    const auto client = BeginClientHandshake(asking.Context(), kName);
    std::vector<std::byte> out;
    CHECK(client->Advance({}, out).state == HandshakeState::kNeedMore);
    CHECK_FALSE(out.empty());
    out.clear();
    CHECK(client->Advance(AsBytes(text), out).state == HandshakeState::kFailed);
    CHECK(out.empty());  // there is nobody who would understand an alert
    return std::string(ToString(client->failure())) + ": " + client->failure_detail();
  };
  CHECK(answer("220 mail.example.com ESMTP Postfix\r\n", false) ==
        "plain-text: the server answered in plain text (220 mail.example.com ESMTP Postfix): its "
        "port wants tls = \"starttls\", or \"off\"");
  CHECK(answer("* BAD ?\r\n", true) ==
        "plain-text: the server went on in plain text (* BAD ?) where TLS had to begin");
  CHECK(answer("HTTP/1.1 400 Bad Request\r\n", false) ==
        "plain-http: the server answered in HTTP without TLS (HTTP/1.1 400 Bad Request)");
  CHECK(answer("SSH-2.0-\x01\r\n", false) ==
        "not-tls: the server sent octets that are not TLS (53 53 48 2d 32 2e 30 2d ...)");
}

TEST_CASE("client handshake: a server without end is cut off", "[tls][client]") {
  const auto client = BeginClientHandshake(Asking{}.Context(), kName);
  std::vector<std::byte> out;
  client->Advance({}, out);
  // HelloRequests, which a TLS 1.2 client passes over.
  const std::string wire("\x16\x03\x03\x00\x04\x00\x00\x00\x00", 9);
  HandshakeState state = HandshakeState::kNeedMore;
  size_t sent = 0;
  while (state == HandshakeState::kNeedMore && sent < 2 * limits::kMaxHandshakeBytes) {
    state = client->Advance(AsBytes(wire), out).state;
    sent += wire.size();
  }
  CHECK(state == HandshakeState::kFailed);
}

TEST_CASE("client contexts: from what was compiled to a handshake", "[tls][client]") {
  generation::Site site;
  site.Pair("default", "mail.example.com");
  const Authority::Client us = Ours().Issue(SpecFor("DNS:us.example"));
  site.Write("us.pem", pki::Pem(us.certificate.get()));
  site.Write("us.key", pki::Pem(us.key.get()));
  const pki::X509Ptr authority = [] {
    const std::vector<std::byte> der = Ours().der();
    const unsigned char* at = AsUnsigned(der);
    return pki::X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  }();
  site.Write("ca.pem", pki::Pem(authority.get()));
  config::Config& config = site.loaded.config;
  config.backends.resize(2);
  config.backends[0].name = "plain";
  config.backends[1].name = "imap";
  config.backends[1].servers = {{"127.0.0.1:993", "127.0.0.1", 993, "", {}}};
  config::BackendTls& tls = config.backends[1].tls;
  tls.mode = config::BackendTlsMode::kImplicit;
  tls.name = kName;
  tls.ca = site.directory / "ca.pem";
  tls.certificate = site.directory / "us.pem";
  tls.key = site.directory / "us.key";
  std::shared_ptr<ClientContexts> contexts;
  {
    const generation::GenerationPtr generation = site.Compile();
    const generation::Mapped mapped = generation::MapGeneration(*generation);
    auto made = ClientContexts::Create(*mapped.settings, *mapped.index);
    if (!made) FAIL(made.error().ToString());
    contexts = *made;
  }
  TestServer server(
      Ours().Issue(SpecFor("DNS:mail.example.com")), TLS1_3_VERSION, [](SSL_CTX* context) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
      });
  const auto client = contexts->Begin(1, kName);
  contexts.reset();  // a handshake holds what it needs
  std::vector<std::byte> rest;
  REQUIRE(ShakeWith(server, *client, rest) == HandshakeState::kEstablished);
  const X509* shown = SSL_get0_peer_certificate(server.ssl());
  REQUIRE(shown != nullptr);
  CHECK(X509_cmp(shown, us.certificate.get()) == 0);
}

TEST_CASE("client contexts: what trusts nobody is refused", "[tls][client]") {
  const generation::TrustSettings nobody;
  BackendContextMaker maker;
  const auto made = maker.Make({.name = "imap", .trust = &nobody});
  REQUIRE_FALSE(made.has_value());
  CHECK(Says(made.error().ToString(), "back end imap: it trusts no authority"));
  const std::vector<std::byte> garbage(10);
  const generation::TrustSettings damaged{{garbage}, {}};
  CHECK_FALSE(maker.Make({.name = "imap", .trust = &damaged}).has_value());
}

TEST_CASE("session cache: bounded in servers and in sessions of each", "[tls][client]") {
  const auto session = [](int version) {
    SslSessionPtr made(SSL_SESSION_new());
    SSL_SESSION_set_protocol_version(made.get(), version);
    static unsigned char number = 0;
    const unsigned char id[] = {1, ++number};
    SSL_SESSION_set1_id(made.get(), id, sizeof id);
    return made;
  };
  SessionCache cache;
  CHECK(cache.Take("a") == nullptr);
  for (size_t i = 0; i < 2 * limits::kMaxSessionsPerServer; ++i) {
    cache.Put("a", session(TLS1_3_VERSION));
  }
  CHECK(cache.size() == limits::kMaxSessionsPerServer);
  cache.Put("a", session(TLS1_2_VERSION));
  cache.Put("a", session(TLS1_2_VERSION));
  CHECK(cache.size() == 1);
  CHECK(cache.Take("a") != nullptr);
  CHECK(cache.Take("a") != nullptr);
  cache.Put("a", session(TLS1_3_VERSION));
  CHECK(cache.size() == 1);
  CHECK(cache.Take("a") != nullptr);
  CHECK(cache.Take("a") == nullptr);
  cache.Put("a", session(TLS1_3_VERSION));
  for (size_t i = 1; i < limits::kMaxResumableServers; ++i) {
    cache.Put("s" + std::to_string(i), session(TLS1_2_VERSION));
  }
  CHECK(cache.size() == limits::kMaxResumableServers);
  CHECK(cache.Take("s1") != nullptr);  // now "a" is the one not used for longest
  cache.Put("new", session(TLS1_2_VERSION));
  CHECK(cache.size() == limits::kMaxResumableServers);
  CHECK(cache.Take("a") == nullptr);
  CHECK(cache.Take("s1") != nullptr);
  cache.Forget("s1");
  cache.Forget("s1");
  CHECK(cache.Take("s1") == nullptr);
}

}  // namespace postern::tls
