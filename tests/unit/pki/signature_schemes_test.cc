#include "postern/pki/signature_schemes.h"

#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

// `key` with a name that is not its issuer's.
X509Ptr Issued(EVP_PKEY* issuer_key, const EVP_MD* digest) {
  CertificateSpec root;
  root.common_name = "Root";
  const KeyPtr leaf_key = MakeEcKey();
  const X509Ptr issuer = MakeCertificate(root, leaf_key.get());
  CertificateSpec leaf;
  leaf.digest = digest;
  return MakeCertificate(leaf, leaf_key.get(), issuer.get(), issuer_key);
}

}  // namespace

TEST_CASE("schemes: keys are told apart", "[pki][schemes]") {
  CHECK(KindOf(MakeEcKey("P-256").get()) == KeyClass::kEcdsaP256);
  CHECK(KindOf(MakeEcKey("P-384").get()) == KeyClass::kEcdsaP384);
  CHECK(KindOf(MakeEcKey("P-521").get()) == KeyClass::kEcdsaP521);
  CHECK(KindOf(MakeEcKey("secp256k1").get()) == KeyClass::kOther);
  CHECK(KindOf(MakeKey("ED25519").get()) == KeyClass::kEd25519);
  CHECK(KindOf(MakeKey("ED448").get()) == KeyClass::kEd448);
  CHECK(KindOf(MakeRsaKey(2048).get()) == KeyClass::kRsa);
}

TEST_CASE("schemes: curves are of one family, RSA and EdDSA of others", "[pki][schemes]") {
  CHECK(FamilyOf(KeyClass::kEcdsaP256) == FamilyOf(KeyClass::kEcdsaP521));
  CHECK(FamilyOf(KeyClass::kEd25519) == FamilyOf(KeyClass::kEd448));
  CHECK(FamilyOf(KeyClass::kRsa) != FamilyOf(KeyClass::kEcdsaP256));
  CHECK(FamilyOf(KeyClass::kRsa) != FamilyOf(KeyClass::kRsaPss));
  CHECK(FamilyOf(KeyClass::kEd25519) != FamilyOf(KeyClass::kEcdsaP256));
}

TEST_CASE("schemes: a signature needs the scheme that made it", "[pki][schemes]") {
  const auto needs = [](const X509Ptr& certificate, uint16_t scheme) {
    return SchemeNeeded(certificate.get()) == SchemesOf(std::span(&scheme, 1)) &&
           SchemeNeeded(certificate.get()) != 0;
  };
  CHECK(needs(Issued(MakeRsaKey(2048).get(), EVP_sha256()), 0x0401));
  CHECK(needs(Issued(MakeRsaKey(2048).get(), EVP_sha512()), 0x0601));
  CHECK(needs(Issued(MakeRsaKey(2048).get(), EVP_sha1()), 0x0201));
  CHECK(needs(Issued(MakeEcKey().get(), EVP_sha256()), 0x0403));
  CHECK(needs(Issued(MakeEcKey("P-384").get(), EVP_sha384()), 0x0503));
  CHECK(needs(Issued(MakeKey("ED25519").get(), nullptr), 0x0807));
  CHECK(needs(Issued(MakeKey("ED448").get(), nullptr), 0x0808));
  // SHA-224 has no scheme of TLS 1.3.
  CHECK(SchemeNeeded(Issued(MakeEcKey().get(), EVP_sha224()).get()) == kUnknownScheme);
}

TEST_CASE("schemes: RSASSA-PSS is verified under either of its numbers", "[pki][schemes]") {
  EVP_PKEY* made = nullptr;
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA-PSS", nullptr);
  REQUIRE(EVP_PKEY_keygen_init(context) == 1);
  REQUIRE(EVP_PKEY_keygen(context, &made) == 1);
  EVP_PKEY_CTX_free(context);
  const KeyPtr issuer_key(made);
  CHECK(KindOf(issuer_key.get()) == KeyClass::kRsaPss);
  const X509Ptr certificate = Issued(issuer_key.get(), EVP_sha256());
  for (const uint16_t number : {uint16_t{0x0804}, uint16_t{0x0809}}) {
    CHECK(SchemeNeeded(certificate.get()) == SchemesOf(std::span(&number, 1)));
  }
}

TEST_CASE("schemes: nobody verifies what is signed by itself", "[pki][schemes]") {
  const KeyPtr key = MakeEcKey();
  CHECK(SchemeNeeded(MakeCertificate({}, key.get()).get()) == 0);
}

TEST_CASE("schemes: what a client offers beyond those of certificates is passed over",
          "[pki][schemes]") {
  constexpr uint16_t kNumbers[] = {0x0A0A, 0x0000, 0x0301, 0x0708, 0xFFFF};
  CHECK(SchemesOf(kNumbers) == 0);
  CHECK(SchemesOf({}) == 0);
}

}  // namespace postern::pki
