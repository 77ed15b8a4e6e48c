#include "pki/plain_ec_key.h"

#include <openssl/pem.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pki/plain_key.h"
#include "tests/unit/catch.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

using Der = std::vector<unsigned char>;

Der TraditionalOf(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key, &der);
  REQUIRE(size > 0);
  Der octets(der, der + size);
  OPENSSL_free(der);
  return octets;
}

}  // namespace

TEST_CASE("plain EC key: in both forms, on every curve, it is encoded as OpenSSL does",
          "[pki][plain]") {
  for (const char* curve : {"P-256", "P-384", "P-521"}) {
    for (int i = 0; i < 50; ++i) {
      const KeyPtr key = MakeEcKey(curve);
      const Der pkcs8 = EncodePkcs8(key.get()).get();
      const Der sec1 = TraditionalOf(key.get());
      unsigned char* point = nullptr;
      const int point_size = i2d_PublicKey(key.get(), &point);
      const Der expected(point, point + point_size);
      OPENSSL_free(point);
      for (const auto& [label, der] : {std::pair("PRIVATE KEY", pkcs8), {"EC PRIVATE KEY", sec1}}) {
        const auto plain = ReadPlainEcKey(label, der);
        REQUIRE(plain);
        CHECK(plain->kind == KindOf(key.get()));
        CHECK(Same(plain->point, expected));
        CHECK(PointOf(*plain) == expected);
        CHECK(EncodePlainEcKey(*plain, expected).get() == pkcs8);
      }
    }
  }
}

TEST_CASE("plain EC key: the public point is computed, whatever the file says", "[pki][plain]") {
  const KeyPtr key = MakeEcKey();
  const KeyPtr other = MakeEcKey();
  Der der = EncodePkcs8(key.get()).get();
  const Der lie = EncodePkcs8(other.get()).get();
  // The point is at the end of the DER.
  std::copy(lie.end() - 65, lie.end(), der.end() - 65);
  const auto plain = ReadPlainEcKey("PRIVATE KEY", der);
  REQUIRE(plain);
  const auto point = PointOf(*plain);
  REQUIRE(point);
  CHECK(PointOf(*ReadPlainEcKey("PRIVATE KEY", EncodePkcs8(key.get()).get())) == point);
  CHECK_FALSE(Same(plain->point, *point));
}

TEST_CASE("plain EC key: scalars out of range have no point", "[pki][plain]") {
  const Der zero(32, 0);
  const Der large(32, 0xFF);
  CHECK_FALSE(PointOf({KeyClass::kEcdsaP256, zero, {}}));
  CHECK_FALSE(PointOf({KeyClass::kEcdsaP256, large, {}}));
  CHECK_FALSE(PointOf({KeyClass::kRsa, zero, {}}));
}

TEST_CASE("plain EC key: other keys, other labels and damaged ones are none", "[pki][plain]") {
  const Der good = EncodePkcs8(MakeEcKey().get()).get();
  CHECK(ReadPlainEcKey("PRIVATE KEY", good));
  CHECK_FALSE(ReadPlainEcKey("EC PRIVATE KEY", good));
  CHECK_FALSE(ReadPlainEcKey("ENCRYPTED PRIVATE KEY", good));
  CHECK_FALSE(ReadPlainEcKey("PRIVATE KEY", {}));
  for (const KeyPtr& key : {MakeRsaKey(2048), MakeKey("ED25519"), MakeEcKey("secp256k1")}) {
    CHECK_FALSE(ReadPlainEcKey("PRIVATE KEY", EncodePkcs8(key.get()).get()));
  }
  for (size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(ReadPlainEcKey("PRIVATE KEY", Octets(good).first(size)));
  }
  // Every octet of the structure matters; scalar and point may be any.
  for (const size_t at : {0, 2, 4, 6, 8, 10, 20, 27, 29, 31}) {
    Der changed = good;
    changed[at] ^= 0x01;
    INFO("octet " << at);
    CHECK_FALSE(ReadPlainEcKey("PRIVATE KEY", changed));
  }
}

}  // namespace postern::pki
