#include "postern/pki/request.h"

#include <openssl/err.h>

#include "postern/pki/describe.h"
#include "postern/pki/material.h"
#include "tests/unit/pki/forms.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

RequestPtr Parse(const std::string& pem) {
  Material material;
  REQUIRE(DecodeMaterial(Octets(pem), "a.csr", PassphraseFrom({}, ""), material).has_value());
  REQUIRE(material.requests.size() == 1);
  return std::move(material.requests[0].request);
}

std::string Fault(const RequestSpec& spec) {
  const KeyPtr key = MakeEcKey();
  const Result<std::string> pem = MakeRequest(spec, key.get());
  REQUIRE_FALSE(pem.has_value());
  CHECK(ERR_peek_error() == 0);
  return pem.error().ToString();
}

}  // namespace

TEST_CASE("pki: requests with every kind of key") {
  const std::vector<std::string> types = {"RSA 2048", "RSA 3072", "RSA 4096",
                                          "EC P-256", "EC P-384", "ED25519"};
  for (size_t i = 0; i < types.size(); ++i) {
    const Result<KeyKind> kind = ParseKeyKind(KeyKindNames()[i]);
    REQUIRE(kind.has_value());
    const Result<KeyPtr> key = MakeKey(*kind);
    REQUIRE(key.has_value());
    CHECK(KeyType(key->get()) == types[i]);
    const RequestPtr request = Parse(*MakeRequest({{}, {"mail.example.com"}}, key->get()));
    CHECK(RequestIsWhole(request.get()));
    CHECK(EVP_PKEY_eq(X509_REQ_get0_pubkey(request.get()), key->get()) == 1);
  }
  const Result<KeyKind> odd = ParseKeyKind("rsa1024");
  REQUIRE_FALSE(odd.has_value());
  CHECK(Says(odd.error().ToString(), {"rsa2048, rsa3072, rsa4096, p256, p384, ed25519"}));
}

TEST_CASE("pki: a request holds all fields and names") {
  const KeyPtr key = MakeEcKey();
  RequestSpec spec;
  spec.subject = {"cn.example", "Ex\xc3\xa4mple", "Mail", "K\xc3\xb6ln", "NRW",
                  "de",         "a@b.example"};
  spec.names = {"mail.example.com", "*.example.com", "192.0.2.1", "2001:db8::1"};
  const RequestPtr request = Parse(*MakeRequest(spec, key.get()));
  CHECK(
      NameText(X509_REQ_get_subject_name(request.get())) ==
      "emailAddress=a@b.example,CN=cn.example,OU=Mail,O=Ex\xc3\xa4mple,L=K\xc3\xb6ln,ST=NRW,C=DE");
  CHECK(AlternativeNames(request.get()) == spec.names);
  // The CN is the first host when it is not given, and is left out when none fits.
  CHECK(NameText(X509_REQ_get_subject_name(
            Parse(*MakeRequest({{}, {"192.0.2.1", "a.example"}}, key.get())).get())) ==
        "CN=a.example");
  const std::string label(40, 'a');
  CHECK(NameText(X509_REQ_get_subject_name(
            Parse(*MakeRequest({{}, {label + "." + label}}, key.get())).get())) == "(no subject)");
}

TEST_CASE("pki: requests that no authority would take are refused") {
  CHECK(Says(Fault({}), {"needs a name"}));
  CHECK(Says(Fault({{}, {"bad..name"}}), {"\"bad..name\" is neither a host name nor an IP"}));
  CHECK(Says(Fault({{}, {"m\xc3\xbcller.example"}}), {"m\xc3\xbcller.example", "xn-- form"}));
  CHECK_FALSE(CheckRequestNames({"a.example", "m\xc3\xbcller.example"}).has_value());
  CHECK(CheckRequestNames({"xn--mller-kva.example", "192.0.2.1"}).has_value());
  RequestSpec spec{{}, {"a.example"}};
  for (const char* email : {"foo", "@b.example", "a@", "a b@c.example", "\xc3\xa4@b.example"}) {
    spec.subject.email = email;
    CHECK(Says(Fault(spec), {"is no e-mail address", "postmaster@example.com"}));
  }
  spec.subject.email.clear();
  for (const char* country : {"D", "DEU", "1E", "\xc3\xa4"}) {
    spec.subject.country = country;
    CHECK(Says(Fault(spec), {"is no country of two letters"}));
  }
  spec.subject.country.clear();
  spec.subject.organization = std::string(65, 'a');
  CHECK(Says(Fault(spec), {"cannot be the organization of a certificate", "at most 64"}));
  spec.subject.organization = "\xff\xfe";
  CHECK(Says(Fault(spec), {"cannot be the organization"}));
}

}  // namespace postern::pki
