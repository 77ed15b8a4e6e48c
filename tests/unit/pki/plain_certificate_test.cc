#include "pki/plain_certificate.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/pki/make_certificate.h"
#include "tests/unit/pki/plain_certificate_agrees.h"

namespace postern::pki {
namespace {

using Der = std::vector<unsigned char>;

Der DerOf(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  REQUIRE(size > 0);
  Der octets(der, der + size);
  OPENSSL_free(der);
  return octets;
}

void AddExtension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  REQUIRE(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// A certificate as authorities issue them: names, key usage, the authority's name as issuer.
Der Issued(
    EVP_PKEY* key, EVP_PKEY* authority_key, const EVP_MD* digest,
    const std::string& names = "DNS:mail.example.com,DNS:*.Example.org,IP:192.0.2.1",
    const std::function<void(X509*)>& change = [](X509*) {}) {
  const X509Ptr authority =
      MakeCertificate({.common_name = "Example CA", .alternative_names = {}}, authority_key);
  X509Ptr leaf = MakeCertificate({.alternative_names = names}, key, authority.get(), authority_key);
  AddExtension(leaf.get(), NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(leaf.get(), NID_ext_key_usage, "serverAuth");
  change(leaf.get());
  REQUIRE(X509_sign(leaf.get(), authority_key, digest) > 0);
  return DerOf(leaf.get());
}

}  // namespace

TEST_CASE("plain certificate: what is read is what OpenSSL reads", "[pki][plain]") {
  const KeyPtr p256 = MakeEcKey("P-256");
  const KeyPtr p384 = MakeEcKey("P-384");
  const KeyPtr p521 = MakeEcKey("P-521");
  const KeyPtr rsa = MakeRsaKey(2048);
  const KeyPtr odd_rsa = MakeRsaKey(2051);
  std::vector<Der> all;
  for (const KeyPtr* key : {&p256, &p384, &p521, &rsa, &odd_rsa}) {
    for (const KeyPtr* authority : {&p256, &rsa}) {
      for (const EVP_MD* digest : {EVP_sha256(), EVP_sha384(), EVP_sha512()}) {
        all.push_back(Issued(key->get(), authority->get(), digest));
      }
    }
  }
  all.push_back(Issued(p256.get(), rsa.get(), EVP_sha256(), ""));
  all.push_back(Issued(p256.get(), rsa.get(), EVP_sha256(), "IP:192.0.2.1,email:a@example.com"));
  all.push_back(Issued(p256.get(), rsa.get(), EVP_sha256(), "DNS:not a host,URI:http://a.example"));
  all.push_back(Issued(p256.get(), rsa.get(), EVP_sha256(), "DNS:a.example,DNS:A.example."));
  all.push_back(Issued(p256.get(), rsa.get(), EVP_sha256(), "DNS:a.example",
                       [](X509* leaf) { AddExtension(leaf, NID_tlsfeature, "status_request"); }));
  for (const char* time : {"491231235959Z", "500101000000Z", "240229120000Z"}) {
    all.push_back(Issued(p256.get(), rsa.get(), EVP_sha256(), "DNS:a.example", [&](X509* leaf) {
      ASN1_UTCTIME_set_string(X509_getm_notBefore(leaf), time);
      ASN1_GENERALIZEDTIME_set_string(X509_getm_notAfter(leaf), "99991231235959Z");
    }));
  }
  all.push_back(DerOf(MakeCertificate({}, p256.get()).get()));
  for (const Der& der : all) {
    const auto plain = ReadPlainCertificate(der);
    REQUIRE(plain);
    CHECK(Disagreement(*plain, der).empty());
  }
  CHECK(ReadPlainCertificate(all[0])->names ==
        std::vector<std::string>{"mail.example.com", "*.example.org"});
}

TEST_CASE("plain certificate: whatever is odd is left to OpenSSL", "[pki][plain]") {
  const KeyPtr key = MakeEcKey();
  const KeyPtr rsa = MakeRsaKey(2048);
  const auto odd = [&](const Der& der) { return !ReadPlainCertificate(der).has_value(); };
  const auto changed = [&](const std::function<void(X509*)>& change) {
    return Issued(key.get(), rsa.get(), EVP_sha256(), "DNS:a.example", change);
  };
  CHECK_FALSE(odd(changed([](X509*) {})));
  CHECK(odd(Issued(key.get(), rsa.get(), EVP_sha1())));
  CHECK(odd(Issued(MakeRsaKey(1024).get(), rsa.get(), EVP_sha256())));
  CHECK(odd(Issued(MakeEcKey("secp256k1").get(), rsa.get(), EVP_sha256())));
  CHECK(odd(Issued(MakeKey("ED25519").get(), rsa.get(), EVP_sha256())));
  CHECK(odd(Issued(key.get(), rsa.get(), EVP_sha256(), "otherName:1.2.3;UTF8:a")));
  // Version 2, by hand: OpenSSL 3.5 signs whatever has extensions as version 3.
  Der second = changed([](X509*) {});
  constexpr std::array<unsigned char, 5> kVersion3 = {0xa0, 3, 2, 1, 2};
  const auto version = std::ranges::search(second, kVersion3);
  REQUIRE(version.size() == kVersion3.size());
  version.back() = 1;
  CHECK(odd(second));
  CHECK(odd(changed([](X509* x) { ASN1_INTEGER_set(X509_get_serialNumber(x), -1); })));
  CHECK(odd(changed([](X509* x) { AddExtension(x, NID_subject_alt_name, "DNS:b.example"); })));
  CHECK(odd(changed([](X509* x) {
    ASN1_STRING_set(X509_getm_notAfter(x), "300230120000Z", -1);  // the 30th of February
  })));
  CHECK(odd(changed([](X509* x) { ASN1_STRING_set(X509_getm_notAfter(x), "3012311200Z", -1); })));
  const auto named = [&](int type, const std::string& name) {
    return changed([&](X509* x) {
      X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_organizationName, type,
                                 reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0);
    });
  };
  CHECK_FALSE(odd(named(V_ASN1_PRINTABLESTRING, "Example")));
  CHECK(odd(named(V_ASN1_UTF8STRING, "Ex\xC3\xA4mple")));
  CHECK(odd(named(V_ASN1_T61STRING, "Example")));
  // The same name as the issuer's, written otherwise: OpenSSL takes it for self-issued.
  CHECK(odd(changed([](X509* x) {
    X509_NAME* name = X509_NAME_new();
    X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_PRINTABLESTRING,
                               reinterpret_cast<const unsigned char*>("EXAMPLE  ca"), -1, -1, 0);
    X509_set_subject_name(x, name);
    X509_NAME_free(name);
  })));
  Der der = changed([](X509*) {});
  der.push_back(0);
  CHECK(odd(der));
  CHECK(odd({}));
  for (size_t size = 0; size + 1 < der.size(); ++size) {
    CHECK(odd(Der(der.begin(), der.begin() + static_cast<std::ptrdiff_t>(size))));
  }
}

TEST_CASE("plain certificate: changed at any place, it is odd or the same to both",
          "[pki][plain]") {
  const KeyPtr key = MakeEcKey();
  const Der good = Issued(key.get(), key.get(), EVP_sha256());
  size_t plain_ones = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {0x01, 0x02, 0x10, 0x20, 0x80, 0xFF}) {
      Der der = good;
      der[at] = static_cast<unsigned char>(der[at] ^ flip);
      const auto plain = ReadPlainCertificate(der);
      if (!plain) continue;
      ++plain_ones;
      INFO("octet " << at << ", flipped by " << flip);
      CHECK(Disagreement(*plain, der).empty());
    }
  }
  CHECK(plain_ones > good.size());  // names, times, key and signature may hold much
}

}  // namespace postern::pki
