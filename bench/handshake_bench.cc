// A server-side handshake in memory, full and resumed, against its floor: the public-key operations
// that nothing can save (one key share and, when full, one signature).
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <memory>

#include "postern/base/check.h"
#include "tls_peer.h"

namespace postern::bench {
namespace {

struct FreeSession {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeSession>;

void Handshake(benchmark::State& state, KeyKind kind, int version, bool resume) {
  const auto server = MakeServer(kind);
  SessionPtr session;
  if (resume) {
    double unused = 0;
    Client first(version, nullptr);
    if (Connect(*server, first, unused) == nullptr) state.SkipWithError("the handshake failed");
    session.reset(first.TakeSession());
  }
  for (auto _ : state) {
    Client client(version, session.get());
    double seconds = 0;
    const auto record = Connect(*server, client, seconds);
    // What is measured is verified: established, and resumed exactly when it should be.
    if (record == nullptr || client.resumed() != resume) {
      state.SkipWithError("the handshake went otherwise than it should");
      break;
    }
    state.SetIterationTime(seconds);
  }
  state.counters["per_second"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

BENCHMARK_CAPTURE(Handshake, full_13_ecdsa, KeyKind::kEcdsaP256, TLS1_3_VERSION, false)
    ->UseManualTime();
BENCHMARK_CAPTURE(Handshake, full_13_rsa, KeyKind::kRsa2048, TLS1_3_VERSION, false)
    ->UseManualTime();
BENCHMARK_CAPTURE(Handshake, full_12_ecdsa, KeyKind::kEcdsaP256, TLS1_2_VERSION, false)
    ->UseManualTime();
BENCHMARK_CAPTURE(Handshake, full_12_rsa, KeyKind::kRsa2048, TLS1_2_VERSION, false)
    ->UseManualTime();
BENCHMARK_CAPTURE(Handshake, resumed_13, KeyKind::kEcdsaP256, TLS1_3_VERSION, true)
    ->UseManualTime();
BENCHMARK_CAPTURE(Handshake, resumed_12, KeyKind::kEcdsaP256, TLS1_2_VERSION, true)
    ->UseManualTime();

// The floor of a handshake's key exchange: a key pair and a shared secret.
void FloorX25519(benchmark::State& state) {
  EVP_PKEY* peer = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  for (auto _ : state) {
    EVP_PKEY* own = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(own, nullptr);
    unsigned char secret[32];
    size_t size = sizeof secret;
    EVP_PKEY_derive_init(context);
    EVP_PKEY_derive_set_peer(context, peer);
    POSTERN_CHECK(EVP_PKEY_derive(context, secret, &size) == 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(own);
  }
  EVP_PKEY_free(peer);
}
BENCHMARK(FloorX25519);

// The floor of its signature.
void FloorSign(benchmark::State& state, KeyKind kind) {
  EVP_PKEY* key = kind == KeyKind::kEcdsaP256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
  unsigned char text[64] = {};
  unsigned char signature[512];
  for (auto _ : state) {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    size_t size = sizeof signature;
    EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key);
    POSTERN_CHECK(EVP_DigestSign(context, signature, &size, text, sizeof text) == 1);
    EVP_MD_CTX_free(context);
  }
  EVP_PKEY_free(key);
}
BENCHMARK_CAPTURE(FloorSign, ecdsa_p256, KeyKind::kEcdsaP256);
BENCHMARK_CAPTURE(FloorSign, rsa_2048, KeyKind::kRsa2048);

}  // namespace
}  // namespace postern::bench
