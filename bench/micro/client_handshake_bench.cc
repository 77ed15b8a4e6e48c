// A client-side handshake with a server behind, in memory, full and resumed, against its floor: the
// public-key operations that nothing can save (a key pair, a shared secret, and when full the
// server's signature verified). The server's part is not measured. Its certificate is the trusted
// one itself, so that no chain is built.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "key_kinds.h"
#include "postern/base/check.h"
#include "postern/tls/policy.h"
#include "tls/backend_context.h"
#include "tls/handshake_client.h"
#include "tls_peer.h"
#include "verify.h"

namespace postern::bench {
namespace {

constexpr std::string_view kHost = "bench.example.com";

double ThreadSeconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

tls::ListenerPolicy ListenerOf(uint16_t version) {
  static auto& policies = *new std::map<uint16_t, tls::PolicyContextPtr>;
  tls::PolicyContextPtr& context = policies[version];
  if (context == nullptr) {
    config::Policy policy = *config::FindPolicy(config::BuiltInPolicies(), "intermediate");
    policy.min_version = policy.max_version = version;
    auto made = tls::MakePolicyContext(generation::SettingsOf(policy), {}, Keys());
    POSTERN_CHECK(made.has_value());
    context = *made;
  }
  tls::ListenerPolicy listener = kPolicy;
  listener.policy = context;
  return listener;
}

// A back end that verifies; it trusts what `server` shows a first, unverified client.
tls::BackendContextPtr BackendFor(const std::vector<std::byte>& certificate) {
  const generation::TrustSettings trust{{certificate}, {}};
  tls::BackendContextMaker maker;
  auto made = maker.Make({.name = "bench", .trust = &trust});
  POSTERN_CHECK(made.has_value());
  return *made;
}

struct Connected {
  bool done = false;
  bool resumed = false;
  double seconds = 0;  // the client's
};

Connected Connect(const tls::BackendContextPtr& backend, tls::ServerContexts& server,
                  const tls::ListenerPolicy& policy) {
  Connected result;
  const auto timed = [&](auto what) {
    const double begin = ThreadSeconds();
    what();
    result.seconds += ThreadSeconds() - begin;
  };
  std::unique_ptr<tls::Handshake> client;
  std::unique_ptr<tls::Record> record;
  const std::unique_ptr<tls::Handshake> peer = server.Begin(policy);
  std::vector<std::byte> to_server;
  std::vector<std::byte> to_client;
  tls::Handshake::Progress progress;
  tls::HandshakeState server_state = tls::HandshakeState::kNeedMore;
  timed([&] {
    client = tls::BeginClientHandshake(backend, kHost);
    client->Advance({}, to_server);
  });
  for (int round = 0; round < 4; ++round) {
    if (server_state == tls::HandshakeState::kNeedMore) {
      const auto taken = peer->Advance(to_server, to_client);
      server_state = taken.state;
      to_server.erase(to_server.begin(),
                      to_server.begin() + static_cast<ptrdiff_t>(taken.consumed));
    }
    if (progress.state == tls::HandshakeState::kNeedMore) {
      timed([&] { progress = client->Advance(to_client, to_server); });
      to_client.erase(to_client.begin(),
                      to_client.begin() + static_cast<ptrdiff_t>(progress.consumed));
    }
  }
  if (progress.state != tls::HandshakeState::kEstablished ||
      server_state != tls::HandshakeState::kEstablished) {
    return result;
  }
  result.done = true;
  result.resumed = client->facts().resumed;
  // Tickets, which the record layer takes in.
  timed([&] {
    record = client->TakeRecord();
    client.reset();
    MutableBytes rest(to_client);
    while (!rest.empty()) {
      const tls::RecordLength length = tls::PeekRecord(rest);
      POSTERN_CHECK(length.kind == tls::RecordLength::Kind::kRecord);
      POSTERN_CHECK(record->Open(rest.first(length.total)).kind == tls::OpenKind::kHandled);
      rest = rest.subspan(length.total);
    }
    record.reset();
  });
  return result;
}

void ClientHandshake(benchmark::State& state, KeyKind kind, uint16_t version, bool resume) {
  static auto& certificates = *new std::map<KeyKind, std::vector<std::byte>>;
  std::vector<std::byte>& certificate = certificates[kind];
  const auto server = ServerOf(kind);
  if (certificate.empty()) {
    Client first(TLS1_3_VERSION, nullptr);
    double unused = 0;
    if (Connect(*server, first, unused) == nullptr) return Wrong(state, "the handshake failed");
    certificate = first.PeerCertificate();
  }
  const tls::BackendContextPtr backend = BackendFor(certificate);
  const tls::ListenerPolicy policy = ListenerOf(version);
  if (resume && !Connect(backend, *server, policy).done) {
    return Wrong(state, "the handshake failed");
  }
  for (auto _ : state) {
    if (!resume) backend->sessions->Forget(kHost);
    const Connected connected = Connect(backend, *server, policy);
    if (!connected.done || connected.resumed != resume) {
      return Wrong(state, "the handshake went otherwise than it should");
    }
    state.SetIterationTime(connected.seconds);
  }
  PerCore(state);
}

void FloorClientFull(benchmark::State& state, KeyKind kind) {
  const unsigned char text[64] = {};
  std::vector<unsigned char> signature(512);
  size_t size = signature.size();
  EVP_MD_CTX* signing = EVP_MD_CTX_new();
  EVP_DigestSignInit(signing, nullptr, DigestOf(kind), nullptr, KeyOf(kind));
  POSTERN_CHECK(EVP_DigestSign(signing, signature.data(), &size, text, sizeof text) == 1);
  EVP_MD_CTX_free(signing);
  EVP_PKEY* peer = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  for (auto _ : state) {
    EVP_PKEY* own = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
    EVP_PKEY_CTX* exchange = EVP_PKEY_CTX_new(own, nullptr);
    unsigned char secret[32];
    size_t secret_size = sizeof secret;
    EVP_PKEY_derive_init(exchange);
    EVP_PKEY_derive_set_peer(exchange, peer);
    POSTERN_CHECK(EVP_PKEY_derive(exchange, secret, &secret_size) == 1);
    EVP_PKEY_CTX_free(exchange);
    EVP_PKEY_free(own);
    EVP_MD_CTX* verifying = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(verifying, nullptr, DigestOf(kind), nullptr, KeyOf(kind));
    POSTERN_CHECK(EVP_DigestVerify(verifying, signature.data(), size, text, sizeof text) == 1);
    EVP_MD_CTX_free(verifying);
  }
  EVP_PKEY_free(peer);
  PerCore(state);
}

const bool kRegistered = [] {
  for (const KeyKind kind : {KeyKind::kEcdsaP256, KeyKind::kRsa2048}) {
    const auto add = [kind](const std::string& what, uint16_t version, bool resume) {
      benchmark::RegisterBenchmark((what + "/" + ToString(kind)).c_str(), ClientHandshake, kind,
                                   version, resume)
          ->UseManualTime();
    };
    add("ClientHandshake/full_13", TLS1_3_VERSION, false);
    add("ClientHandshake/full_12", TLS1_2_VERSION, false);
    add("ClientHandshake/resumed_13", TLS1_3_VERSION, true);
    add("ClientHandshake/resumed_12", TLS1_2_VERSION, true);
    benchmark::RegisterBenchmark((std::string("FloorClientFull/") + ToString(kind)).c_str(),
                                 FloorClientFull, kind);
  }
  return true;
}();

}  // namespace
}  // namespace postern::bench
