#include "key_kinds.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <map>

#include "postern/base/check.h"

namespace postern::bench {
namespace {

EVP_PKEY* Make(KeyKind kind) {
  switch (kind) {
    case KeyKind::kEcdsaP256:
      return EVP_EC_gen("P-256");
    case KeyKind::kEcdsaP384:
      return EVP_EC_gen("P-384");
    case KeyKind::kRsa2048:
      return EVP_RSA_gen(2048);
    case KeyKind::kRsa3072:
      return EVP_RSA_gen(3072);
    case KeyKind::kRsa4096:
      return EVP_RSA_gen(4096);
    case KeyKind::kEd25519:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  }
  return nullptr;
}

template <typename Object>
std::vector<std::byte> ToDer(Object* object, int (*encode)(const Object*, unsigned char**)) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  POSTERN_CHECK(size > 0);
  const auto* bytes = reinterpret_cast<const std::byte*>(der);
  std::vector<std::byte> copy(bytes, bytes + size);
  OPENSSL_free(der);
  return copy;
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

const char* ToString(KeyKind kind) {
  switch (kind) {
    case KeyKind::kEcdsaP256:
      return "ecdsa_p256";
    case KeyKind::kEcdsaP384:
      return "ecdsa_p384";
    case KeyKind::kRsa2048:
      return "rsa_2048";
    case KeyKind::kRsa3072:
      return "rsa_3072";
    case KeyKind::kRsa4096:
      return "rsa_4096";
    case KeyKind::kEd25519:
      return "ed25519";
  }
  return "";
}

EVP_PKEY* KeyOf(KeyKind kind) {
  // Never destroyed: OpenSSL is gone before static objects are.
  static auto& keys = *new std::map<KeyKind, pki::KeyPtr>;
  pki::KeyPtr& key = keys[kind];
  if (key == nullptr) key.reset(Make(kind));
  POSTERN_CHECK(key != nullptr);
  return key.get();
}

const EVP_MD* DigestOf(KeyKind kind) {
  if (kind == KeyKind::kEd25519) return nullptr;
  return kind == KeyKind::kEcdsaP384 ? EVP_sha384() : EVP_sha256();
}

pki::X509Ptr MakeCertificate(const std::string& host, EVP_PKEY* key, const EVP_MD* digest) {
  pki::X509Ptr certificate(X509_new());
  X509* x = certificate.get();
  static long serial = 0;
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 86'400L * 90);
  X509_set_pubkey(x, key);
  X509_NAME* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(host.data()),
                             static_cast<int>(host.size()), -1, 0);
  X509_set_issuer_name(x, name);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, ("DNS:" + host).c_str());
  POSTERN_CHECK(names != nullptr);
  X509_add_ext(x, names, -1);
  X509_EXTENSION_free(names);
  POSTERN_CHECK(X509_sign(x, key, digest) > 0);
  return certificate;
}

std::vector<std::byte> CertificateDer(X509* certificate) {
  return ToDer<X509>(certificate, i2d_X509);
}

std::vector<std::byte> KeyDer(EVP_PKEY* key) {
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key);
  std::vector<std::byte> der = ToDer<PKCS8_PRIV_KEY_INFO>(info, i2d_PKCS8_PRIV_KEY_INFO);
  PKCS8_PRIV_KEY_INFO_free(info);
  return der;
}

std::string CertificatePem(X509* certificate) {
  const pki::BioPtr bio(BIO_new(BIO_s_mem()));
  POSTERN_CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return TextOf(bio.get());
}

std::string KeyPem(EVP_PKEY* key) {
  const pki::BioPtr bio(BIO_new(BIO_s_mem()));
  POSTERN_CHECK(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return TextOf(bio.get());
}

}  // namespace postern::bench
