// The forms in which certificates and keys come, made in memory.
#pragma once

#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

#include <string>
#include <vector>

#include "postern/pki/certificate.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {

inline SecretBytes Octets(std::string_view text) {
  return SecretBytes(std::vector<unsigned char>(text.begin(), text.end()));
}

template <typename Object>
std::string DerOf(int (*i2d)(Object, unsigned char**), std::type_identity_t<Object> object) {
  unsigned char* der = nullptr;
  const int size = i2d(object, &der);
  REQUIRE(size > 0);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

inline std::string CertificateDer(X509* certificate) { return DerOf(i2d_X509, certificate); }

inline std::string Pkcs7Der(const std::vector<X509*>& certificates) {
  PKCS7* bag = PKCS7_new();
  PKCS7_set_type(bag, NID_pkcs7_signed);
  PKCS7_content_new(bag, NID_pkcs7_data);
  for (X509* certificate : certificates) PKCS7_add_certificate(bag, certificate);
  std::string der = DerOf(i2d_PKCS7, bag);
  PKCS7_free(bag);
  return der;
}

// With a null passphrase the container has neither encryption nor a MAC.
inline std::string Pkcs12Der(EVP_PKEY* key, X509* leaf, const std::vector<X509*>& others,
                             const char* passphrase, int cipher = NID_aes_256_cbc) {
  STACK_OF(X509)* stack = sk_X509_new_null();
  for (X509* other : others) sk_X509_push(stack, other);
  const int pbe = passphrase == nullptr ? -1 : cipher;
  PKCS12* container = PKCS12_create(passphrase, nullptr, key, leaf, stack, pbe, pbe, 2048,
                                    passphrase == nullptr ? -1 : 2048, 0);
  sk_X509_free(stack);
  REQUIRE(container != nullptr);
  std::string der = DerOf(i2d_PKCS12, container);
  PKCS12_free(container);
  return der;
}

inline std::string SealedKeyDer(EVP_PKEY* key, const std::string& passphrase) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  i2d_PKCS8PrivateKey_bio(bio.get(), key, EVP_aes_256_cbc(), passphrase.data(),
                          static_cast<int>(passphrase.size()), nullptr, nullptr);
  return BioText(bio.get());
}

inline std::string TraditionalPem(EVP_PKEY* key, const std::string& passphrase,
                                  const EVP_CIPHER* cipher = EVP_aes_128_cbc()) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  std::string copy = passphrase;
  PEM_write_bio_PrivateKey_traditional(bio.get(), key, cipher,
                                       reinterpret_cast<unsigned char*>(copy.data()),
                                       static_cast<int>(copy.size()), nullptr, nullptr);
  return BioText(bio.get());
}

}  // namespace postern::pki
