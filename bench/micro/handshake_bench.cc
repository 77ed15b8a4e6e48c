// A server-side handshake in memory, full and resumed, for each kind of certificate, against its
// floor: the public-key operations that nothing can save (a key pair and a shared secret, and when
// full a signature). The client's part is not measured.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>

#include "postern/base/check.h"
#include "tls_peer.h"
#include "verify.h"

namespace postern::bench {
namespace {

struct FreeSession {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeSession>;

void Handshake(benchmark::State& state, KeyKind kind, int version, bool resume) {
  const auto server = ServerOf(kind);
  SessionPtr session;
  if (resume) {
    double unused = 0;
    Client first(version, nullptr);
    if (Connect(*server, first, unused) == nullptr) return Wrong(state, "the handshake failed");
    session.reset(first.TakeSession());
  }
  for (auto _ : state) {
    Client client(version, session.get());
    double seconds = 0;
    const auto record = Connect(*server, client, seconds);
    if (record == nullptr || client.resumed() != resume || !client.Sees(version, kind)) {
      return Wrong(state, "the handshake went otherwise than it should");
    }
    state.SetIterationTime(seconds);
  }
  PerCore(state);
}

void KeyExchange(EVP_PKEY* peer) {
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

void Sign(EVP_PKEY* key, const EVP_MD* digest) {
  const unsigned char text[64] = {};
  unsigned char signature[512];
  size_t size = sizeof signature;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* parameters = nullptr;
  EVP_DigestSignInit(context, &parameters, digest, nullptr, key);
  if (EVP_PKEY_base_id(key) == EVP_PKEY_RSA) {
    // TLS 1.3 signs with PSS alone (RFC 8446 section 4.2.3).
    EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST);
  }
  POSTERN_CHECK(EVP_DigestSign(context, signature, &size, text, sizeof text) == 1);
  EVP_MD_CTX_free(context);
}

void FloorResumed(benchmark::State& state) {
  EVP_PKEY* peer = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  for (auto _ : state) KeyExchange(peer);
  EVP_PKEY_free(peer);
  PerCore(state);
}

void FloorFull(benchmark::State& state, KeyKind kind) {
  EVP_PKEY* peer = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  for (auto _ : state) {
    KeyExchange(peer);
    Sign(KeyOf(kind), DigestOf(kind));
  }
  EVP_PKEY_free(peer);
  PerCore(state);
}

// Registered by hand, so that each floor stands beneath what it is the floor of. FloorResumed is
// TLS 1.3's; a resumed handshake of TLS 1.2 has no public-key operation at all.
const bool kRegistered = [] {
  const auto add = [](const std::string& what, KeyKind kind, int version, bool resume) {
    benchmark::RegisterBenchmark((what + "/" + ToString(kind)).c_str(), Handshake, kind, version,
                                 resume)
        ->UseManualTime();
  };
  for (const KeyKind kind : kKeyKinds) {
    add("Handshake/full_13", kind, TLS1_3_VERSION, false);
    add("Handshake/full_12", kind, TLS1_2_VERSION, false);
    add("Handshake/resumed_13", kind, TLS1_3_VERSION, true);
    add("Handshake/resumed_12", kind, TLS1_2_VERSION, true);
    benchmark::RegisterBenchmark((std::string("FloorFull/") + ToString(kind)).c_str(), FloorFull,
                                 kind);
  }
  benchmark::RegisterBenchmark("FloorResumed", FloorResumed);
  return true;
}();

}  // namespace
}  // namespace postern::bench
