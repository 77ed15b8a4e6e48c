// Certificates for tests, good and bad, made in memory.
#pragma once

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <string>
#include <vector>

#include "postern/pki/certificate.h"
#include "tests/unit/catch.h"

namespace postern::pki {

inline KeyPtr MakeEcKey(const char* curve = "P-256") { return KeyPtr(EVP_EC_gen(curve)); }
inline KeyPtr MakeRsaKey(unsigned bits) { return KeyPtr(EVP_RSA_gen(bits)); }
inline KeyPtr MakeKey(const char* type) {
  return KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, type));
}

// What a test's certificate says. Times are seconds from now.
struct CertificateSpec {
  std::string common_name = "mail.example.com";
  std::string alternative_names = "DNS:mail.example.com";  // empty: none
  long not_before = -3600;
  long not_after = 86'400 * 90;
  const EVP_MD* digest = EVP_sha256();  // nullptr for Ed25519
};

// Signed by `issuer_key` in the name of `issuer`; by itself when they are null.
inline X509Ptr MakeCertificate(const CertificateSpec& spec, EVP_PKEY* key, X509* issuer = nullptr,
                               EVP_PKEY* issuer_key = nullptr) {
  X509Ptr certificate(X509_new());
  X509* x = certificate.get();
  static long serial = 1;
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), spec.not_before);
  X509_gmtime_adj(X509_getm_notAfter(x), spec.not_after);
  X509_NAME* subject = X509_get_subject_name(x);
  if (!spec.common_name.empty()) {
    REQUIRE(
        X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(spec.common_name.data()),
                                   static_cast<int>(spec.common_name.size()), -1, 0) == 1);
  }
  X509_set_issuer_name(x, issuer == nullptr ? subject : X509_get_subject_name(issuer));
  X509_set_pubkey(x, key);
  if (!spec.alternative_names.empty()) {
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, spec.alternative_names.c_str());
    REQUIRE(names != nullptr);
    X509_add_ext(x, names, -1);
    X509_EXTENSION_free(names);
  }
  REQUIRE(X509_sign(x, issuer_key == nullptr ? key : issuer_key, spec.digest) > 0);
  return certificate;
}

inline std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

inline std::string Pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return BioText(bio.get());
}

// Encrypted with `passphrase` unless that is empty.
inline std::string Pem(EVP_PKEY* key, std::string passphrase = {}) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, passphrase.empty() ? nullptr : EVP_aes_128_cbc(),
                                passphrase.empty() ? nullptr : passphrase.data(),
                                static_cast<int>(passphrase.size()), nullptr, nullptr);
  return BioText(bio.get());
}

}  // namespace postern::pki
