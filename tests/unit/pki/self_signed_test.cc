#include <openssl/err.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "postern/pki/self_signed.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

X509Ptr Parse(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

mode_t Mode(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

// Verifies as a client that trusts this very certificate does, by OpenSSL's strict rules.
int Verify(X509* certificate, const char* host, unsigned long flags) {
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, certificate);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, certificate, nullptr);
  X509_STORE_CTX_set_default(context, "ssl_server");
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set1_host(parameters, host, 0);
  X509_VERIFY_PARAM_set_flags(parameters, flags);
  X509_verify_cert(context);
  const int result = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return result;
}

}  // namespace

TEST_CASE("pki: a self-signed certificate verifies for a client that trusts it") {
  const Result<PairTexts> pair =
      MakeSelfSigned({"mail.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"}, 30);
  REQUIRE(pair.has_value());
  const X509Ptr certificate = Parse(pair->certificate_pem);
  REQUIRE(certificate != nullptr);
  CHECK(Verify(certificate.get(), "mail.example.com", 0) == X509_V_OK);
  CHECK(Verify(certificate.get(), "imap.example.org", X509_V_FLAG_X509_STRICT) == X509_V_OK);
  CHECK(Verify(certificate.get(), "other.example.com", 0) == X509_V_ERR_HOSTNAME_MISMATCH);
  CHECK(X509_check_ip_asc(certificate.get(), "192.0.2.1", 0) == 1);
  CHECK(X509_check_ip_asc(certificate.get(), "2001:db8::1", 0) == 1);
  CHECK(X509_check_ca(certificate.get()) == 0);
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("pki: names that cannot stand in a certificate are refused") {
  const std::string too_long(64, 'a');
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("*"), std::string("mail.example.com\n"),
        std::string("bad..name"), std::string(".example.com"), std::string("example.com."),
        std::string("-a.example.com"), std::string("a-.example.com"),
        std::string("a.*.example.com"), std::string("300.1.1.1"), too_long + ".example.com"}) {
    const Result<PairTexts> pair = MakeSelfSigned({"ok.example.com", name});
    REQUIRE_FALSE(pair.has_value());
    CHECK(pair.error().what.find("neither a host name nor an IP address") != std::string::npos);
  }
  const Result<PairTexts> foreign = MakeSelfSigned({"m\xc3\xbcller.example"});
  REQUIRE_FALSE(foreign.has_value());
  CHECK(foreign.error().remedy.find("xn-- form") != std::string::npos);
  CHECK_FALSE(MakeSelfSigned({}).has_value());
  CHECK_FALSE(MakeSelfSigned({"localhost"}, 0).has_value());
  // RFC 5280's bound on a CN is no bound on a name.
  const std::string label(60, 'a');
  const std::string long_name = label + "." + label + ".example.com";
  const Result<PairTexts> pair = MakeSelfSigned({long_name});
  REQUIRE(pair.has_value());
  CHECK(Verify(Parse(pair->certificate_pem).get(), long_name.c_str(), 0) == X509_V_OK);
}

TEST_CASE("pki: installing a self-signed pair makes the directory and keeps what was there") {
  const TemporaryDirectory temporary;
  const std::string directory = temporary / "etc/certs";
  REQUIRE(InstallSelfSigned(directory).has_value());
  CHECK(Mode(directory) == 0700);
  CHECK(Mode(directory + "/default.key") == 0600);
  Result<Pair> first = LoadPair(directory + "/default.crt", directory + "/default.key");
  REQUIRE(first.has_value());
  CHECK(first->warnings.empty());
  CHECK(first->names.back() == "localhost");

  const std::string old_certificate = Content(directory + "/default.crt");
  const std::string old_key = Content(directory + "/default.key");
  REQUIRE(InstallSelfSigned(directory, {"mail.example.com"}).has_value());
  CHECK(Content(directory + "/default.crt.previous") == old_certificate);
  CHECK(Content(directory + "/default.key.previous") == old_key);
  CHECK(Mode(directory + "/default.key.previous") == 0600);
  const Result<Pair> second = LoadPair(directory + "/default.crt", directory + "/default.key");
  REQUIRE(second.has_value());
  CHECK(second->names == std::vector<std::string>{"mail.example.com"});

  // A third time, over the kept pair of the first.
  REQUIRE(InstallSelfSigned(directory).has_value());
  CHECK(LoadPair(directory + "/default.crt.previous", directory + "/default.key.previous")->names ==
        std::vector<std::string>{"mail.example.com"});
}

TEST_CASE("pki: a self-signed pair that cannot be written leaves the old one in service") {
  const TemporaryDirectory temporary;
  REQUIRE(InstallSelfSigned(temporary.path()).has_value());
  const std::string certificate = Content(temporary / "default.crt");
  CHECK_FALSE(InstallSelfSigned(temporary.path(), {"not a name"}).has_value());
  CHECK(Content(temporary / "default.crt") == certificate);
  CHECK(LoadPair(temporary / "default.crt", temporary / "default.key").has_value());
  std::ofstream(temporary / "file") << "x";
  CHECK_FALSE(InstallSelfSigned(temporary / "file").has_value());
}

}  // namespace postern::pki
