#include "postern/pki/staple.h"

#include <openssl/err.h>

#include <fstream>

#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/make_certificate.h"
#include "tests/unit/pki/make_staple.h"

namespace postern::pki {
namespace {

std::string Why(const Result<Staple>& staple) {
  REQUIRE_FALSE(staple.has_value());
  CHECK_FALSE(staple.error().remedy.empty());
  return staple.error().what;
}

bool Says(const Result<Staple>& staple, std::string_view words) {
  return Why(staple).find(words) != std::string::npos;
}

struct Bench {
  TestIssuer issuer;
  X509Ptr leaf = issuer.Issue("mail.example.com");
  TemporaryDirectory directory;
  std::string path = directory / "mail.ocsp";
  int64_t now = std::time(nullptr);

  Result<Staple> Load(const std::string& content) const {
    return Load(content, {&leaf, &issuer.certificate});
  }
  Result<Staple> Load(const std::string& content, const std::vector<const X509Ptr*>& chain) const {
    std::ofstream(path, std::ios::binary) << content;
    std::vector<std::string> der;
    for (const X509Ptr* certificate : chain) der.push_back(Der(certificate->get()));
    std::vector<Bytes> bytes;
    for (const std::string& one : der) bytes.push_back(AsBytes(one));
    return LoadStaple(path, bytes, now);
  }
};

}  // namespace

TEST_CASE("staple: a good response is taken, DER or PEM", "[pki][staple]") {
  const Bench bench;
  const std::string der = bench.issuer.Respond(bench.leaf.get(), {});
  for (const std::string& content : {der, ResponsePem(der)}) {
    const Result<Staple> staple = bench.Load(content);
    if (!staple) FAIL(staple.error().what);
    CHECK(std::string(staple->response.begin(), staple->response.end()) == der);
    CHECK(staple->good_until > bench.now);
    CHECK(staple->this_update <= bench.now);
    CHECK(staple->stamp.size == static_cast<int64_t>(content.size()));
  }
}

TEST_CASE("staple: responders may hash with SHA-256", "[pki][staple]") {
  const Bench bench;
  CHECK(bench.Load(bench.issuer.Respond(bench.leaf.get(), {.digest = EVP_sha256()})).has_value());
}

TEST_CASE("staple: the issuer may stand anywhere in the chain, and has to be there",
          "[pki][staple]") {
  const Bench bench;
  const TestIssuer other;
  const std::string der = bench.issuer.Respond(bench.leaf.get(), {});
  CHECK(bench.Load(der, {&bench.leaf, &other.certificate, &bench.issuer.certificate}).has_value());
  CHECK(Says(bench.Load(der, {&bench.leaf}), "the issuer of the certificate is not in the chain"));
}

TEST_CASE("staple: what is not good, not now or not about this certificate is refused",
          "[pki][staple]") {
  const Bench bench;
  X509* leaf = bench.leaf.get();
  const TestIssuer& issuer = bench.issuer;
  CHECK(Says(bench.Load(issuer.Respond(leaf, {.status = V_OCSP_CERTSTATUS_REVOKED})), "revoked"));
  CHECK(Says(bench.Load(issuer.Respond(leaf, {.status = V_OCSP_CERTSTATUS_UNKNOWN})),
             "not known to the responder"));
  CHECK(Says(bench.Load(issuer.Respond(leaf, {.this_update = -7200, .next_update = -10})),
             "out of date since"));
  CHECK(Says(bench.Load(issuer.Respond(leaf, {.this_update = 3600, .next_update = 7200})),
             "does not hold before"));
  CHECK(Says(bench.Load(issuer.Respond(leaf, {.has_next_update = false})), "nextUpdate"));
  const X509Ptr sibling = issuer.Issue("other.example.com");
  CHECK(Says(bench.Load(issuer.Respond(sibling.get(), {})), "not about this certificate"));
}

TEST_CASE("staple: only the issuer's signature counts", "[pki][staple]") {
  const Bench bench;
  // Same name, another key.
  const TestIssuer impostor;
  const std::string forged = bench.issuer.Respond(bench.leaf.get(), {.signer = &impostor});
  CHECK(Says(bench.Load(forged), "signature"));
  std::string damaged = bench.issuer.Respond(bench.leaf.get(), {});
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  CHECK_FALSE(bench.Load(damaged).has_value());
}

TEST_CASE("staple: what is no response is refused, with the file's name", "[pki][staple]") {
  const Bench bench;
  CHECK(Says(bench.Load("hello"), "holds no OCSP response"));
  CHECK(Says(bench.Load(""), bench.path));
  const std::string der = bench.issuer.Respond(bench.leaf.get(), {});
  CHECK(Says(bench.Load(der + "x"), "holds no OCSP response"));
  CHECK(Says(bench.Load(der.substr(0, der.size() / 2)), "holds no OCSP response"));
  CHECK(Says(bench.Load(std::string(20'000, '0')), "larger than 16 KB"));
  CHECK(Says(bench.Load(RefusalResponse(OCSP_RESPONSE_STATUS_TRYLATER)), "trylater"));
  CHECK(Says(LoadStaple("/nonexistent/mail.ocsp", {}, bench.now), "/nonexistent/mail.ocsp"));
  CHECK(Says(LoadStaple("/", {}, bench.now), "it is no file"));
}

TEST_CASE("staple: errors leave nothing in OpenSSL's queue", "[pki][staple]") {
  const Bench bench;
  CHECK_FALSE(bench.Load("hello").has_value());
  CHECK(ERR_peek_error() == 0);
}

}  // namespace postern::pki
