#include "postern/pki/trust.h"

#include <filesystem>
#include <fstream>

#include "postern/os/clock.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

struct CrlDelete {
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
};
using CrlPtr = std::unique_ptr<X509_CRL, CrlDelete>;

// An authority, and files with what it makes.
class Authority {
 public:
  Authority() : key_(MakeEcKey()) {
    CertificateSpec spec;
    spec.common_name = "Clients CA";
    spec.alternative_names = "";
    certificate_ = MakeCertificate(spec, key_.get());
  }

  std::string Pem() const { return pki::Pem(certificate_.get()); }

  CrlPtr List(long next_update) const {
    CrlPtr list(X509_CRL_new());
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate_.get()));
    const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> time(ASN1_TIME_new(),
                                                                     ASN1_TIME_free);
    X509_gmtime_adj(time.get(), -86'400);
    X509_CRL_set1_lastUpdate(list.get(), time.get());
    X509_gmtime_adj(time.get(), next_update);
    X509_CRL_set1_nextUpdate(list.get(), time.get());
    REQUIRE(X509_CRL_sign(list.get(), key_.get(), EVP_sha256()) > 0);
    return list;
  }

 private:
  KeyPtr key_;
  X509Ptr certificate_;
};

std::string Pem(const CrlPtr& list) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_CRL(bio.get(), list.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

std::string Der(const CrlPtr& list) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(list.get(), &der);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

class Files {
 public:
  std::string Write(const std::string& name, const std::string& content) const {
    std::ofstream(directory_ / name, std::ios::binary) << content;
    return directory_ / name;
  }

 private:
  TemporaryDirectory directory_;
};

Result<Trust> Load(const std::string& ca, const std::vector<std::string>& crls = {}) {
  return LoadTrust(ca, crls, os::WallSeconds());
}

}  // namespace

TEST_CASE("trust: authorities and lists in every form") {
  const Files files;
  const Authority a;
  const Authority b;
  const std::string ca = files.Write("ca.pem", "two of them:\n" + a.Pem() + b.Pem());
  const auto alone = Load(ca);
  REQUIRE(alone.has_value());
  CHECK(alone->certificates.size() == 2);
  CHECK(alone->crls.empty());

  const std::string pem = files.Write("a.crl", Pem(a.List(86'400)) + Pem(b.List(86'400)));
  const std::string der = files.Write("b.crl", Der(b.List(86'400)));
  const auto both = Load(ca, {pem, der});
  REQUIRE(both.has_value());
  CHECK(both->crls.size() == 3);
}

TEST_CASE("trust: what would lock clients out is a warning") {
  const Files files;
  const Authority a;
  const std::string ca = files.Write("ca.pem", a.Pem());
  const auto has = [](const Result<Trust>& trust, std::string_view phrase) {
    REQUIRE(trust.has_value());
    for (const Error& warning : trust->warnings) {
      CHECK_FALSE(warning.remedy.empty());
      if (warning.what.find(phrase) != std::string::npos) return true;
    }
    return false;
  };
  CHECK(has(Load(ca, {files.Write("late.crl", Pem(a.List(-60)))}), "is out of date"));
  CHECK_FALSE(has(Load(ca, {files.Write("good.crl", Pem(a.List(60)))}), "is out of date"));

  // A certificate that says it is no authority's, and one that has expired.
  CertificateSpec spec;
  const KeyPtr key = MakeEcKey();
  spec.common_name = "leaf";
  X509Ptr leaf = MakeCertificate(spec, key.get());
  X509_EXTENSION* constraint =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:FALSE");
  X509_add_ext(leaf.get(), constraint, -1);
  X509_EXTENSION_free(constraint);
  REQUIRE(X509_sign(leaf.get(), key.get(), EVP_sha256()) > 0);
  const std::string no_ca = files.Write("leaf.pem", Pem(leaf.get()));
  CHECK(has(Load(no_ca), "is no authority's certificate"));
  CHECK(has(Load(no_ca, {files.Write("other.crl", Pem(a.List(60)))}), "of no authority in"));
  CHECK(has(Load(no_ca, {files.Write("other.crl", Pem(a.List(60)))}), "no revocation list of"));
  spec.not_after = -60;
  CHECK(
      has(Load(files.Write("old.pem", Pem(MakeCertificate(spec, key.get()).get()))), "expired on"));
}

TEST_CASE("trust: what cannot be read is refused with file and remedy") {
  const Files files;
  const Authority a;
  const std::string ca = files.Write("ca.pem", a.Pem());
  std::string damaged = a.Pem();
  damaged.replace(100, 10, "AAAAAAAAAA");
  const auto why = [](const Result<Trust>& trust) {
    REQUIRE_FALSE(trust.has_value());
    return trust.error().what;
  };
  CHECK(why(Load("/nonexistent/ca.pem")).find("/nonexistent/ca.pem") != std::string::npos);
  CHECK(why(Load(files.Write("empty", ""))).find("holds no certificate") != std::string::npos);
  CHECK(why(Load(files.Write("text", "hello"))).find("holds no certificate") != std::string::npos);
  CHECK(why(Load(files.Write("damaged", damaged))).find("is damaged") != std::string::npos);
  CHECK(why(Load(ca, {"/nonexistent.crl"})).find("/nonexistent.crl") != std::string::npos);
  CHECK(why(Load(ca, {ca})).find("holds no revocation list") != std::string::npos);
  std::string cut = Der(a.List(60));
  cut.resize(cut.size() / 2);
  CHECK(why(Load(ca, {files.Write("cut.crl", cut)})).find("is damaged") != std::string::npos);
}

}  // namespace postern::pki
