#include "pki/plain_key.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

using Octets = std::vector<unsigned char>;

Octets Pkcs8Of(const EVP_PKEY* key) {
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key);
  REQUIRE(info != nullptr);
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
  PKCS8_PRIV_KEY_INFO_free(info);
  REQUIRE(size > 0);
  Octets octets(der, der + size);
  OPENSSL_free(der);
  return octets;
}

// "EC PRIVATE KEY" and "RSA PRIVATE KEY".
Octets TraditionalOf(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key, &der);
  REQUIRE(size > 0);
  Octets octets(der, der + size);
  OPENSSL_free(der);
  return octets;
}

PemBlock Block(std::string label, Octets der) {
  PemBlock block;
  block.label = std::move(label);
  block.der = SecretBytes(std::move(der));
  return block;
}

}  // namespace

TEST_CASE("plain key: every kind, in both forms, is what OpenSSL's decoders make of it",
          "[pki][key]") {
  struct Case {
    KeyPtr key;
    const char* label;
  };
  std::vector<Case> cases;
  cases.push_back({MakeEcKey("P-256"), "EC PRIVATE KEY"});
  cases.push_back({MakeEcKey("P-384"), "EC PRIVATE KEY"});
  cases.push_back({MakeEcKey("P-521"), "EC PRIVATE KEY"});
  cases.push_back({MakeRsaKey(2048), "RSA PRIVATE KEY"});
  cases.push_back({MakeKey("ED25519"), nullptr});
  cases.push_back({KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448")), nullptr});
  for (const Case& c : cases) {
    const Octets pkcs8 = Pkcs8Of(c.key.get());
    const KeyPtr key = DecodePlainKey(Block("PRIVATE KEY", pkcs8));
    REQUIRE(key != nullptr);
    CHECK(EVP_PKEY_eq(key.get(), c.key.get()) == 1);
    // What workers get is the same to the octet.
    CHECK(Pkcs8Of(key.get()) == pkcs8);
    CHECK(EVP_PKEY_can_sign(key.get()) == 1);
    CHECK(EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_get_base_id(c.key.get()));
    CHECK(EVP_PKEY_get_bits(key.get()) == EVP_PKEY_get_bits(c.key.get()));
    if (c.label == nullptr) continue;
    const KeyPtr old = DecodePlainKey(Block(c.label, TraditionalOf(c.key.get())));
    REQUIRE(old != nullptr);
    CHECK(Pkcs8Of(old.get()) == pkcs8);
  }
}

TEST_CASE("plain key: a certificate's key is told from another's", "[pki][key]") {
  const KeyPtr mine = MakeEcKey();
  const X509Ptr certificate = MakeCertificate({}, mine.get());
  const KeyPtr same = DecodePlainKey(Block("PRIVATE KEY", Pkcs8Of(mine.get())));
  const KeyPtr other = DecodePlainKey(Block("PRIVATE KEY", Pkcs8Of(MakeEcKey().get())));
  CHECK(EVP_PKEY_eq(X509_get0_pubkey(certificate.get()), same.get()) == 1);
  CHECK(EVP_PKEY_eq(X509_get0_pubkey(certificate.get()), other.get()) != 1);
  ERR_clear_error();
}

TEST_CASE("plain key: damaged ones are none", "[pki][key]") {
  const KeyPtr keys[] = {MakeEcKey(), MakeRsaKey(2048)};
  for (const KeyPtr& key : keys) {
    Octets der = Pkcs8Of(key.get());
    CHECK(DecodePlainKey(Block("PRIVATE KEY", Octets(der.begin(), der.end() - 1))) == nullptr);
    der[0] = 0x31;
    CHECK(DecodePlainKey(Block("PRIVATE KEY", der)) == nullptr);
  }
  CHECK(DecodePlainKey(Block("PRIVATE KEY", {})) == nullptr);
  CHECK(DecodePlainKey(Block("EC PRIVATE KEY", {0x30, 0x00})) == nullptr);
  ERR_clear_error();
}

}  // namespace postern::pki
