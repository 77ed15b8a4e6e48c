// An authority for tests that issues certificates and answers for them by OCSP.
#pragma once

#include <openssl/ocsp.h>

#include <ctime>
#include <memory>
#include <string>

#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {

class TestIssuer;

// What a response says. Times are seconds from now.
struct ResponseSpec {
  int status = V_OCSP_CERTSTATUS_GOOD;
  long this_update = -60;
  long next_update = 86'400;
  bool has_next_update = true;
  const EVP_MD* digest = EVP_sha1();
  const TestIssuer* signer = nullptr;  // instead of the issuer
};

inline std::string Der(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  REQUIRE(size > 0);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

inline std::string Der(OCSP_RESPONSE* response) {
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  REQUIRE(size > 0);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  return text;
}

class TestIssuer {
 public:
  TestIssuer() {
    CertificateSpec spec;
    spec.common_name = "Test Authority";
    spec.alternative_names.clear();
    certificate = MakeCertificate(spec, key.get());
  }

  X509Ptr Issue(const std::string& host, EVP_PKEY* leaf_key = nullptr) const {
    const KeyPtr own = MakeEcKey();
    CertificateSpec spec;
    spec.common_name = host;
    spec.alternative_names = "DNS:" + host;
    return MakeCertificate(spec, leaf_key == nullptr ? own.get() : leaf_key, certificate.get(),
                           key.get());
  }

  std::string Respond(X509* leaf, const ResponseSpec& spec) const {
    OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
    OCSP_CERTID* id = OCSP_cert_to_id(spec.digest, leaf, certificate.get());
    ASN1_TIME* from = X509_gmtime_adj(nullptr, spec.this_update);
    ASN1_TIME* until = X509_gmtime_adj(nullptr, spec.next_update);
    ASN1_TIME* revoked =
        spec.status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(nullptr, -60) : nullptr;
    REQUIRE(OCSP_basic_add1_status(basic, id, spec.status, 0, revoked, from,
                                   spec.has_next_update ? until : nullptr) != nullptr);
    const TestIssuer& signer = spec.signer == nullptr ? *this : *spec.signer;
    REQUIRE(OCSP_basic_sign(basic, signer.certificate.get(), signer.key.get(), EVP_sha256(),
                            nullptr, 0) == 1);
    std::string der = Der(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic));
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return der;
  }

  KeyPtr key = MakeEcKey();
  X509Ptr certificate;
};

inline std::string RefusalResponse(int status) {
  return Der(OCSP_response_create(status, nullptr));
}

inline std::string ResponsePem(const std::string& der) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio(bio.get(), "OCSP RESPONSE", "",
                        reinterpret_cast<const unsigned char*>(der.data()),
                        static_cast<long>(der.size())) > 0);
  return BioText(bio.get());
}

}  // namespace postern::pki
