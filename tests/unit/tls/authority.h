// An authority for tests, with what it signs.
#pragma once

#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "postern/base/bytes.h"
#include "tests/unit/catch.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::tls::test {

struct CrlDelete {
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
};

inline std::vector<std::byte> Der(const auto* object, auto encode) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  const Bytes octets = std::as_bytes(std::span(der, static_cast<size_t>(size)));
  std::vector<std::byte> result(octets.begin(), octets.end());
  OPENSSL_free(der);
  return result;
}

// An authority with what it signs.
class Authority {
 public:
  explicit Authority(const std::string& name, const Authority* above = nullptr,
                     long not_after = 86'400)
      : key_(pki::MakeEcKey()) {
    pki::CertificateSpec spec;
    spec.not_after = not_after;
    spec.common_name = name;
    spec.alternative_names = "";
    certificate_ = pki::MakeCertificate(spec, key_.get(),
                                        above == nullptr ? nullptr : above->certificate_.get(),
                                        above == nullptr ? nullptr : above->key_.get());
    X509_EXTENSION* ca =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(certificate_.get(), ca, -1);
    X509_EXTENSION_free(ca);
    REQUIRE(X509_sign(certificate_.get(), (above == nullptr ? *this : *above).key_.get(),
                      EVP_sha256()) > 0);
  }

  struct Client {
    pki::KeyPtr key;
    pki::X509Ptr certificate;
    std::vector<X509*> chain;
  };
  Client Issue(const std::string& name, long not_after = 86'400) const {
    pki::CertificateSpec spec;
    spec.common_name = name;
    spec.not_after = not_after;
    return Issue(spec);
  }
  // `usage` is an extended key usage ("clientAuth"); null: any.
  Client Issue(const pki::CertificateSpec& spec, const char* usage = nullptr) const {
    pki::KeyPtr key = pki::MakeEcKey();
    pki::X509Ptr certificate =
        pki::MakeCertificate(spec, key.get(), certificate_.get(), key_.get());
    if (usage != nullptr) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_ext_key_usage, usage);
      X509_add_ext(certificate.get(), extension, -1);
      X509_EXTENSION_free(extension);
      REQUIRE(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0);
    }
    return {std::move(key), std::move(certificate), {certificate_.get()}};
  }

  std::vector<std::byte> der() const { return Der(certificate_.get(), i2d_X509); }

  // A revocation list of `revoked`, good for `seconds` from now.
  std::vector<std::byte> List(long seconds, const X509* revoked = nullptr) const {
    const std::unique_ptr<X509_CRL, CrlDelete> list(X509_CRL_new());
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate_.get()));
    ASN1_TIME* time = ASN1_TIME_new();
    X509_gmtime_adj(time, -86'400);
    X509_CRL_set1_lastUpdate(list.get(), time);
    if (revoked != nullptr) {
      X509_REVOKED* entry = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(entry,
                                    const_cast<ASN1_INTEGER*>(X509_get0_serialNumber(revoked)));
      X509_REVOKED_set_revocationDate(entry, time);
      REQUIRE(X509_CRL_add0_revoked(list.get(), entry) == 1);
    }
    X509_gmtime_adj(time, seconds);
    X509_CRL_set1_nextUpdate(list.get(), time);
    ASN1_TIME_free(time);
    REQUIRE(X509_CRL_sign(list.get(), key_.get(), EVP_sha256()) > 0);
    return Der(list.get(), i2d_X509_CRL);
  }

 private:
  pki::KeyPtr key_;
  pki::X509Ptr certificate_;
};

}  // namespace postern::tls::test
