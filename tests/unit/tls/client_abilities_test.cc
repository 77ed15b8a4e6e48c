#include "tls/client_abilities.h"

#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/tls/harness.h"

namespace postern::tls {
namespace {

using pki::KeyClass;
using test::Connect;
using test::Connection;
using test::kPolicy;
using test::MakeContexts;
using test::MakePair;
using test::OnlyVersion;

constexpr uint32_t Kinds(std::initializer_list<KeyClass> kinds) {
  uint32_t bits = 0;
  for (const KeyClass kind : kinds) bits |= 1U << static_cast<uint32_t>(kind);
  return bits;
}

// A client with these settings in OpenSSL's words; empty ones are left as they are.
test::TestClient::Configure Client(int version, const char* algorithms, const char* ciphers = "",
                                   const char* groups = "") {
  return [=](SSL_CTX* context) {
    OnlyVersion(version)(context);
    if (*algorithms != '\0') REQUIRE(SSL_CTX_set1_sigalgs_list(context, algorithms) == 1);
    if (*ciphers != '\0') REQUIRE(SSL_CTX_set_cipher_list(context, ciphers) == 1);
    if (*groups != '\0') REQUIRE(SSL_CTX_set1_groups_list(context, groups) == 1);
  };
}

int PeerKey(const Connection& connection) {
  const X509Ptr peer(SSL_get1_peer_certificate(connection.client->ssl()));
  REQUIRE(peer != nullptr);
  return EVP_PKEY_get_base_id(X509_get0_pubkey(peer.get()));
}

}  // namespace

TEST_CASE("choice: the cheapest that the client can verify whole", "[tls][abilities]") {
  const CertificateTraits rsa{KeyClass::kRsa, 1};
  const CertificateTraits ecdsa{KeyClass::kEcdsaP256, 2};
  const CertificateTraits ed25519{KeyClass::kEd25519, 0};
  struct Case {
    std::vector<CertificateTraits> choices;
    ClientAbilities abilities;
    size_t best;
  };
  const Case cases[] = {
      {{rsa, ecdsa}, {}, 1},
      {{ecdsa, rsa}, {}, 0},
      {{rsa, ed25519, ecdsa}, {}, 2},
      {{rsa, ed25519}, {}, 1},
      {{ecdsa, rsa}, {Kinds({KeyClass::kRsa}), UINT32_MAX}, 1},
      // A chain that the client cannot verify comes after one that it can, whatever it costs,
      {{ecdsa, rsa}, {UINT32_MAX, 1}, 1},
      // but before a key that it cannot use at all.
      {{ecdsa, rsa}, {Kinds({KeyClass::kEcdsaP256}), 1}, 0},
      {{rsa, ecdsa}, {Kinds({KeyClass::kEcdsaP256}), 0}, 1},
      // Nothing fits: the first.
      {{rsa, ecdsa}, {0, 0}, 0},
      {{rsa}, {0, 0}, 0},
  };
  for (const Case& test : cases) {
    CHECK(ChooseCertificate(test.choices, test.abilities) == test.best);
  }
}

TEST_CASE("choice: an unknown signature in a chain is never taken for verified",
          "[tls][abilities]") {
  const CertificateTraits odd{KeyClass::kEcdsaP256, pki::kUnknownScheme};
  const CertificateTraits rsa{KeyClass::kRsa, 1};
  const CertificateTraits choices[] = {odd, rsa};
  CHECK(ChooseCertificate(choices, {UINT32_MAX, pki::SchemesOf({}) | 1}) == 1);
}

TEST_CASE("choice: real clients get the certificate that they can verify", "[tls][abilities]") {
  const bool ecdsa_first = GENERATE(true, false);
  const auto ecdsa = MakePair(1, "mail.example", test::KeyKind::kEcdsa);
  const auto rsa = MakePair(2, "mail.example", test::KeyKind::kRsa);
  const auto contexts = ecdsa_first ? MakeContexts({ecdsa, rsa}) : MakeContexts({rsa, ecdsa});
  struct Case {
    test::TestClient::Configure client;
    int key;
  };
  const Case cases[] = {
      {Client(TLS1_3_VERSION, ""), EVP_PKEY_EC},
      {Client(TLS1_3_VERSION, "RSA-PSS+SHA256:ECDSA+SHA256"), EVP_PKEY_EC},
      {Client(TLS1_3_VERSION, "RSA-PSS+SHA256:RSA+SHA256"), EVP_PKEY_RSA},
      {Client(TLS1_3_VERSION, "ECDSA+SHA256"), EVP_PKEY_EC},
      // TLS 1.3 ties the digest to the curve: the P-256 certificate is of no use here.
      {Client(TLS1_3_VERSION, "ECDSA+SHA384:RSA-PSS+SHA256:RSA+SHA256"), EVP_PKEY_RSA},
      {Client(TLS1_2_VERSION, ""), EVP_PKEY_EC},
      {Client(TLS1_2_VERSION, "", "ECDHE-RSA-AES128-GCM-SHA256"), EVP_PKEY_RSA},
      {Client(TLS1_2_VERSION, "", "ECDHE-ECDSA-AES128-GCM-SHA256"), EVP_PKEY_EC},
      {Client(TLS1_2_VERSION, "RSA+SHA256"), EVP_PKEY_RSA},
      {Client(TLS1_2_VERSION, "ECDSA+SHA384:RSA+SHA256"), EVP_PKEY_EC},
      {Client(TLS1_2_VERSION, "", "", "X25519:P-384"), EVP_PKEY_RSA},
  };
  size_t number = 0;
  for (const Case& test : cases) {
    CAPTURE(number++);
    CHECK(PeerKey(Connect(*contexts, kPolicy, "mail.example", test.client)) == test.key);
  }
}

TEST_CASE("choice: both are kept, each under its own identity", "[tls][abilities]") {
  const auto contexts = MakeContexts({MakePair(1, "mail.example", test::KeyKind::kEcdsa),
                                      MakePair(2, "mail.example", test::KeyKind::kRsa)});
  CHECK(contexts->contexts() == 1);
  Connect(*contexts, kPolicy, "mail.example", Client(TLS1_3_VERSION, "RSA-PSS+SHA256:RSA+SHA256"));
  CHECK(contexts->contexts() == 2);
}

TEST_CASE("choice: a client that can verify neither is told so", "[tls][abilities]") {
  const auto contexts = MakeContexts({MakePair(1, "mail.example", test::KeyKind::kEcdsa),
                                      MakePair(2, "mail.example", test::KeyKind::kRsa)});
  test::TestClient client("mail.example", Client(TLS1_3_VERSION, "ed25519"));
  const auto handshake = contexts->Begin(kPolicy);
  CHECK(test::Complete(*handshake, client).state == HandshakeState::kFailed);
  CHECK(handshake->failure() == HandshakeFailure::kNoSharedCipher);
}

TEST_CASE("staple: clients that ask get the response, until it is out of date", "[tls][staple]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const auto stapled = [&](int64_t until, bool ask) {
    test::TestPair pair = MakePair(1, "mail.example");
    pair.staple = {std::byte{'o'}, std::byte{'k'}};
    pair.staple_until = until;
    const auto contexts = MakeContexts({pair});
    test::TestClient client("mail.example", OnlyVersion(version));
    if (ask) SSL_set_tlsext_status_type(client.ssl(), TLSEXT_STATUSTYPE_ocsp);
    const auto handshake = contexts->Begin(kPolicy);
    REQUIRE(test::Complete(*handshake, client).state == HandshakeState::kEstablished);
    const unsigned char* response = nullptr;
    const long size = SSL_get_tlsext_status_ocsp_resp(client.ssl(), &response);
    return size <= 0
               ? std::string()
               : std::string(reinterpret_cast<const char*>(response), static_cast<size_t>(size));
  };
  const int64_t now = std::time(nullptr);
  CHECK(stapled(now + 3600, true) == "ok");
  CHECK(stapled(now + 3600, false).empty());
  CHECK(stapled(now - 1, true).empty());
  CHECK(stapled(0, true).empty());
}

}  // namespace postern::tls
