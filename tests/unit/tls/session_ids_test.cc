#include "tls/session_ids.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "postern/shm/session_id_cache.h"
#include "postern/tls/policy.h"
#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

using test::Connect;
using test::Connection;
using test::kPolicy;
using test::MakeContexts;
using test::MakePair;

struct Cache {
  explicit Cache(uint32_t entries = 64)
      : master(shm::SessionIdCacheMaster::Create(entries, 3600).value()),
        view(shm::SessionIdCache::Map(master.fd()).value()) {}
  shm::SessionIdCacheMaster master;
  shm::SessionIdCache view;
};

// A listener's policy with the cache of one worker.
ListenerPolicy PolicyWith(shm::SessionIdCache& cache, const char* name = "intermediate") {
  ListenerPolicy policy = kPolicy;
  const config::Policy* rules = config::FindPolicy(config::BuiltInPolicies(), name);
  policy.policy =
      MakePolicyContext(generation::SettingsOf(*rules), {}, test::SharedKeys().view, &cache)
          .value();
  return policy;
}

// Clients without tickets.
test::TestClient::Configure Ticketless(int version = TLS1_2_VERSION) {
  return [version](SSL_CTX* context) {
    test::OnlyVersion(version)(context);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  };
}

Connection ConnectWithout(ServerContexts& contexts, const ListenerPolicy& policy,
                          const std::string& sni = {}, SSL_SESSION* resume = nullptr) {
  return Connect(contexts, policy, sni, Ticketless(), resume);
}

}  // namespace

TEST_CASE("A session ID resumes on any worker", "[tls][session_ids]") {
  Cache cache;
  const auto one_worker = MakeContexts({MakePair(1, "mail.example")});
  const Connection first = ConnectWithout(*one_worker, PolicyWith(cache.view));
  CHECK_FALSE(first.facts.resumed);
  CHECK(SSL_SESSION_has_ticket(first.client->session()) == 0);
  CHECK(cache.master.Counts().stores == 1);

  shm::SessionIdCache other_view = shm::SessionIdCache::Map(cache.master.fd()).value();
  const auto other_worker = MakeContexts({MakePair(1, "mail.example")});
  const ListenerPolicy there = PolicyWith(other_view);
  // Again and again, and the connections that end without a word do not end the session.
  for (int again = 0; again < 3; ++again) {
    // A copy: the client's libssl takes a session for spoilt when its connection ends so.
    const SslSessionPtr copy(SSL_SESSION_dup(first.client->session()));
    const Connection second = ConnectWithout(*other_worker, there, {}, copy.get());
    CHECK(second.facts.resumed);
    CHECK(SSL_session_reused(second.client->ssl()) == 1);
  }
  CHECK(cache.master.Counts().hits == 3);
  CHECK(cache.master.Counts().stores == 1);
}

TEST_CASE("Clients with tickets and TLS 1.3 leave the cache alone", "[tls][session_ids]") {
  Cache cache;
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const ListenerPolicy policy = PolicyWith(cache.view);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Connection with = Connect(*contexts, policy, {}, test::OnlyVersion(version));
    with.client->Read({});
    CHECK(SSL_SESSION_has_ticket(with.client->session()) == 1);
    const Connection again =
        Connect(*contexts, policy, {}, test::OnlyVersion(version), with.client->session());
    CHECK(again.facts.resumed);
  }
  Connect(*contexts, policy, {}, Ticketless(TLS1_3_VERSION));
  CHECK(cache.master.Counts().stores == 0);
  CHECK(cache.master.Counts().hits == 0);
}

TEST_CASE("Without tickets TLS 1.2 goes by IDs and TLS 1.3 shakes hands in full",
          "[tls][session_ids]") {
  Cache cache;
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  ListenerPolicy policy = PolicyWith(cache.view);
  policy.tickets = false;
  const Connection first = Connect(*contexts, policy, {}, test::OnlyVersion(TLS1_2_VERSION));
  CHECK(Connect(*contexts, policy, {}, test::OnlyVersion(TLS1_2_VERSION), first.client->session())
            .facts.resumed);
  Connection modern = Connect(*contexts, policy, {}, test::OnlyVersion(TLS1_3_VERSION));
  modern.client->Read({});
  CHECK(modern.client->session() == nullptr);
  CHECK(cache.master.Counts().stores == 1);
}

TEST_CASE("A session ID is good for one listener, certificate and policy only",
          "[tls][session_ids]") {
  Cache cache;
  const auto contexts = MakeContexts({MakePair(1, "a.example"), MakePair(2, "b.example")});
  const ListenerPolicy policy = PolicyWith(cache.view);
  const Connection first = ConnectWithout(*contexts, policy, "a.example");
  SSL_SESSION* session = first.client->session();

  ListenerPolicy other_listener = policy;
  other_listener.listener = "intranet";
  ListenerPolicy other_service = policy;
  other_service.service = "pop3";
  const ListenerPolicy other_policy = PolicyWith(cache.view, "old");
  for (const ListenerPolicy& other : {other_listener, other_service, other_policy}) {
    CHECK_FALSE(ConnectWithout(*contexts, other, "a.example", session).facts.resumed);
  }
  const Connection other_name = ConnectWithout(*contexts, policy, "b.example", session);
  CHECK_FALSE(other_name.facts.resumed);
  CHECK(other_name.client->peer_name() == "b.example");
  CHECK(ConnectWithout(*contexts, policy, "a.example", session).facts.resumed);
}

TEST_CASE("What the cache holds of no use leads to a full handshake", "[tls][session_ids]") {
  Cache cache;
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const ListenerPolicy policy = PolicyWith(cache.view);
  const Connection first = ConnectWithout(*contexts, policy);
  unsigned size = 0;
  const unsigned char* id = SSL_SESSION_get_id(first.client->session(), &size);
  REQUIRE(size == shm::kSessionId);
  const Bytes name = std::as_bytes(std::span(id, size));
  cache.view.Forget(name, 0);
  SECTION("forgotten") {}
  SECTION("unreadable") {
    const uint64_t now_s = 1'000'000'000;  // younger than any
    REQUIRE(cache.view.Store(name, AsBytes("no session at all"), now_s));
  }
  CHECK_FALSE(ConnectWithout(*contexts, policy, {}, first.client->session()).facts.resumed);
}

TEST_CASE("A resumption that fails ends its session", "[tls][session_ids]") {
  Cache cache;
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const ListenerPolicy policy = PolicyWith(cache.view);
  const Connection first = ConnectWithout(*contexts, policy);
  {
    const auto server = contexts->Begin(policy);
    test::TestClient client({}, Ticketless(), first.client->session());
    std::vector<std::byte> out;
    const std::vector<std::byte> hello = client.Handshake({});
    REQUIRE(server->Advance(hello, out).state == HandshakeState::kNeedMore);
    std::vector<std::byte> rest = client.Handshake(out);
    REQUIRE(rest.size() > 40);
    rest.back() ^= std::byte{1};  // the client's Finished
    REQUIRE(server->Advance(rest, out).state == HandshakeState::kFailed);
  }
  CHECK_FALSE(ConnectWithout(*contexts, policy, {}, first.client->session()).facts.resumed);
}

TEST_CASE("Without a cache there are no session IDs", "[tls][session_ids]") {
  Cache none(0);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const ListenerPolicy policy = PolicyWith(none.view);
  const Connection first = ConnectWithout(*contexts, policy);
  unsigned size = 1;
  SSL_SESSION_get_id(first.client->session(), &size);
  CHECK(size == 0);
  CHECK_FALSE(ConnectWithout(*contexts, policy, {}, first.client->session()).facts.resumed);
}

}  // namespace postern::tls
