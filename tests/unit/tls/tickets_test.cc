#include "tls/tickets.h"

#include <chrono>
#include <ctime>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

using test::Connect;
using test::Connection;
using test::kPolicy;
using test::MakeContexts;
using test::MakePair;
using test::OnlyVersion;
using test::TestKeys;
using test::TestPair;

// A connection that has got its tickets.
Connection ConnectAndRead(ServerContexts& contexts, const ListenerPolicy& policy, int version,
                          const std::string& sni = {}, SSL_SESSION* resume = nullptr) {
  Connection connection = Connect(contexts, policy, sni, OnlyVersion(version), resume);
  connection.client->Read({});
  return connection;
}

}  // namespace

TEST_CASE("A ticket resumes on any worker", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TestKeys keys;
  const TestPair pair = MakePair(1, "mail.example");
  const auto one_worker = MakeContexts({pair}, keys.view);
  const auto other_view = shm::TicketKeys::Map(keys.master.fd());
  REQUIRE(other_view);
  const auto other_worker = MakeContexts({pair}, *other_view);

  const Connection first = ConnectAndRead(*one_worker, kPolicy, version);
  CHECK_FALSE(first.facts.resumed);
  REQUIRE(first.client->session() != nullptr);
  const Connection second =
      ConnectAndRead(*other_worker, kPolicy, version, {}, first.client->session());
  CHECK(second.facts.resumed);
  CHECK(second.facts.certificate == "mail.example");
  CHECK(SSL_session_reused(second.client->ssl()) == 1);
}

TEST_CASE("A ticket is good for one listener, service and certificate only", "[tls][tickets]") {
  // CVE-2025-23419: what a client was let into at one place must not let it in at another.
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto contexts = MakeContexts({MakePair(1, "a.example"), MakePair(2, "b.example")});
  const Connection first = ConnectAndRead(*contexts, kPolicy, version, "a.example");
  SSL_SESSION* ticket = first.client->session();
  REQUIRE(ticket != nullptr);

  ListenerPolicy other_listener = kPolicy;
  other_listener.listener = "intranet";
  ListenerPolicy other_service = kPolicy;
  other_service.service = "pop3";
  // Without lengths in the binding these two would look like the first one.
  ListenerPolicy shifted = kPolicy;
  shifted.listener = "imapsi";
  shifted.service = "map";
  for (const ListenerPolicy& policy : {other_listener, other_service, shifted}) {
    CHECK_FALSE(ConnectAndRead(*contexts, policy, version, "a.example", ticket).facts.resumed);
  }
  const Connection other_name = ConnectAndRead(*contexts, kPolicy, version, "b.example", ticket);
  CHECK_FALSE(other_name.facts.resumed);
  CHECK(other_name.client->peer_name() == "b.example");

  CHECK(ConnectAndRead(*contexts, kPolicy, version, "a.example", ticket).facts.resumed);
}

TEST_CASE("A ticket outlives the renewal of its certificate", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto before = MakeContexts({MakePair(1, "mail.example")});
  const Connection first = ConnectAndRead(*before, kPolicy, version, "mail.example");
  const auto after = MakeContexts({MakePair(2, "mail.example")});
  const Connection second =
      ConnectAndRead(*after, kPolicy, version, "mail.example", first.client->session());
  CHECK(second.facts.resumed);
}

TEST_CASE("Tickets under a retired key give a full handshake", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TestKeys keys;
  const auto contexts = MakeContexts({MakePair(1, "mail.example")}, keys.view);
  const Connection first = ConnectAndRead(*contexts, kPolicy, version);
  for (int i = 0; i < 3; ++i) REQUIRE(keys.master.Rotate());
  const Connection second =
      ConnectAndRead(*contexts, kPolicy, version, {}, first.client->session());
  CHECK(second.facts.resumed);
  // The older key's ticket was replaced, and the new one is good for the whole of its life.
  REQUIRE(second.client->session() != nullptr);
  REQUIRE(keys.master.Rotate());
  CHECK_FALSE(
      ConnectAndRead(*contexts, kPolicy, version, {}, first.client->session()).facts.resumed);
  CHECK(ConnectAndRead(*contexts, kPolicy, version, {}, second.client->session()).facts.resumed);
}

TEST_CASE("Without a key no ticket is given, and the handshake succeeds", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  std::optional<shm::TicketKeyMaster> master = std::move(*shm::TicketKeyMaster::Create());
  const auto view = shm::TicketKeys::Map(master->fd());
  REQUIRE(view);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")}, *view);
  master.reset();  // which wipes the page; workers may outlive their master
  const Connection connection = ConnectAndRead(*contexts, kPolicy, version);
  CHECK_FALSE(connection.facts.resumed);
  CHECK_FALSE(connection.client->failed());
  CHECK(connection.client->TakeSent().empty());  // no alert
  SSL_SESSION* session = connection.client->session();
  CHECK((session == nullptr || SSL_SESSION_has_ticket(session) == 0));
}

TEST_CASE("A listener without tickets gives none and takes none", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const Connection with = ConnectAndRead(*contexts, kPolicy, version);
  REQUIRE(with.client->session() != nullptr);
  REQUIRE(SSL_SESSION_has_ticket(with.client->session()) == 1);
  ListenerPolicy policy = kPolicy;
  policy.tickets = false;
  const Connection without = ConnectAndRead(*contexts, policy, version, {}, with.client->session());
  CHECK_FALSE(without.facts.resumed);
  CHECK((without.client->session() == nullptr ||
         SSL_SESSION_has_ticket(without.client->session()) == 0));
}

TEST_CASE("A ticket says how long it lives, seven days at most", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const std::vector<std::pair<uint64_t, unsigned long>> cases = {
      {1, 1}, {1234, 1234}, {604'800, 604'800}, {30 * 86'400, 604'800}};
  for (const auto& [lifetime_s, hint] : cases) {
    ListenerPolicy policy = kPolicy;
    policy.ticket_lifetime_s = lifetime_s;
    const Connection connection = ConnectAndRead(*contexts, policy, version);
    REQUIRE(connection.client->session() != nullptr);
    CHECK(SSL_SESSION_get_ticket_lifetime_hint(connection.client->session()) == hint);
  }
}

TEST_CASE("A lifetime made shorter holds for tickets that are out", "[tls][tickets]") {
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  const Connection old12 = ConnectAndRead(*contexts, kPolicy, TLS1_2_VERSION);
  const Connection old13 = ConnectAndRead(*contexts, kPolicy, TLS1_3_VERSION);
  const time_t then = time(nullptr);
  while (time(nullptr) < then + 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ListenerPolicy policy = kPolicy;
  const auto resumes = [&](const Connection& old, int version) {
    return ConnectAndRead(*contexts, policy, version, {}, old.client->session()).facts.resumed;
  };
  CHECK(resumes(old12, TLS1_2_VERSION));
  CHECK(resumes(old13, TLS1_3_VERSION));
  policy.ticket_lifetime_s = 1;
  CHECK_FALSE(resumes(old12, TLS1_2_VERSION));
  CHECK_FALSE(resumes(old13, TLS1_3_VERSION));
}

TEST_CASE("A lifetime of nothing means no tickets", "[tls][tickets]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  ListenerPolicy policy = kPolicy;
  policy.ticket_lifetime_s = 0;
  const Connection connection = ConnectAndRead(*contexts, policy, version);
  CHECK((connection.client->session() == nullptr ||
         SSL_SESSION_has_ticket(connection.client->session()) == 0));
}

TEST_CASE("TLS 1.3 gives a resumed client a ticket for the next time", "[tls][tickets]") {
  // Clients that use a ticket once (RFC 8446 section C.4) would else resume every other time.
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  Connection connection = ConnectAndRead(*contexts, kPolicy, TLS1_3_VERSION);
  for (int again = 0; again < 3; ++again) {
    Connection next =
        ConnectAndRead(*contexts, kPolicy, TLS1_3_VERSION, {}, connection.client->session());
    REQUIRE(next.facts.resumed);
    // A session of its own, not the one that was offered.
    REQUIRE(next.client->session() != nullptr);
    CHECK(next.client->session() != connection.client->session());
    connection = std::move(next);
  }
}

TEST_CASE("TLS 1.3 gives as many tickets as it is told to", "[tls][tickets]") {
  const uint32_t wanted = GENERATE(0U, 1U, 2U, 8U);
  const auto contexts = MakeContexts({MakePair(1, "mail.example")});
  static uint32_t count;
  count = 0;
  ListenerPolicy policy = kPolicy;
  policy.ticket_count = wanted;
  const Connection connection = Connect(*contexts, policy, {}, [](SSL_CTX* context) {
    OnlyVersion(TLS1_3_VERSION)(context);
    SSL_CTX_sess_set_new_cb(context, [](SSL*, SSL_SESSION*) {
      ++count;
      return 0;
    });
  });
  connection.client->Read({});
  CHECK(count == wanted);
}

}  // namespace postern::tls
