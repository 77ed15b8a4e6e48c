// TLS towards back ends on its way into a generation: authorities, and the pairs that servers are
// shown.
#include <filesystem>

#include "postern/config/backend_tls.h"
#include "tests/unit/generation/site.h"

namespace postern::generation {
namespace {

bool Has(const std::string& text, std::string_view phrase) {
  if (text.find(phrase) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
  return false;
}

// A site with back ends that speak TLS, each with the authority in ca.pem.
struct TlsSite : Site {
  TlsSite() {
    Pair("default", "mail.example.com");
    pki::CertificateSpec spec;
    spec.common_name = "Our CA";
    spec.alternative_names = "";
    Write("ca.pem", pki::Pem(pki::MakeCertificate(spec, key.get()).get()));
  }

  config::Backend& Add(const std::string& name) {
    config::Backend& backend = loaded.config.backends.emplace_back();
    backend.name = name;
    backend.servers = {{"127.0.0.1:993", "127.0.0.1", 993, "", {}}};
    backend.tls.mode = config::BackendTlsMode::kImplicit;
    backend.tls.name = name + ".example";
    backend.tls.ca = directory / "ca.pem";
    backend.tls.ca_where = {"postern.toml", 21, 1};
    backend.tls.certificate_where = {"postern.toml", 22, 1};
    return backend;
  }
  // A pair in files of that name, for the back end's servers.
  void Show(config::Backend& backend, const std::string& name, long not_after = 86'400) {
    pki::CertificateSpec spec;
    spec.common_name = name;
    spec.alternative_names = "DNS:mail.example.com";
    spec.not_after = not_after;
    Write(name + ".pem", pki::Pem(pki::MakeCertificate(spec, key.get()).get()));
    Write(name + "-key.pem", pki::Pem(key.get()));
    backend.tls.certificate = directory / (name + ".pem");
    backend.tls.key = directory / (name + "-key.pem");
  }
};

std::string CommonName(const CertificateView& view) {
  const unsigned char* at = AsUnsigned(view.chain_der.at(0));
  const pki::X509Ptr leaf(d2i_X509(nullptr, &at, static_cast<long>(view.chain_der[0].size())));
  REQUIRE(leaf != nullptr);
  char name[64] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(leaf.get()), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace

TEST_CASE("compile: back ends share one copy of their authorities", "[backend-tls]") {
  TlsSite site;
  site.Add("a");
  site.Add("b").tls.min_version = 0x0304;
  site.Add("open").tls.verify = false;
  site.Add("plain").tls.mode = config::BackendTlsMode::kOff;
  const GenerationPtr generation = site.Compile();
  CHECK(generation->warnings.empty());
  const Mapped mapped = MapGeneration(*generation);
  const auto& backends = mapped.settings->backends();
  CHECK(mapped.settings->trusts().size() == 1);
  CHECK(mapped.settings->trusts()[0].certificates.size() == 1);
  CHECK(backends[0].trust == 0);
  CHECK(backends[1].trust == 0);
  CHECK(backends[1].tls_min_version == 0x0304);
  CHECK(backends[2].trust == kNoTrust);
  CHECK(backends[2].tls == config::BackendTlsMode::kImplicit);
  CHECK(backends[3].tls == config::BackendTlsMode::kOff);
  CHECK(backends[3].servers[0].tls_name.empty());
  CHECK(backends[0].servers[0].tls_name == "a.example");
  CHECK(backends[0].certificate == kNoCertificate);
}

TEST_CASE("compile: authorities that cannot be had are a fault of the back end", "[backend-tls]") {
  TlsSite site;
  config::Backend& backend = site.Add("a");
  backend.tls.ca = site.directory / "none.pem";
  CHECK(Has(AllOf(site.Faults()), "postern.toml:21:1: "));
  CHECK(Has(AllOf(site.Faults()), "none.pem"));
  // The machine's own list: there is one thing to do about it.
  backend.tls.system_ca = true;
  CHECK(Has(AllOf(site.Faults()), "install the package ca-certificates"));
  // A server's own certificate is as good as an authority's.
  backend.tls.ca = site.directory / "default.crt";
  backend.tls.system_ca = false;
  CHECK(site.Compile()->warnings.empty());
}

TEST_CASE("compile: what servers are shown is there by number, and by no name", "[backend-tls]") {
  TlsSite site;
  site.Show(site.Add("a"), "client");
  site.Add("b");
  const GenerationPtr generation = site.Compile();
  const Mapped mapped = MapGeneration(*generation);
  const uint32_t number = mapped.settings->backends()[0].certificate;
  REQUIRE(number < mapped.index->size());
  const CertificateView view = mapped.index->Get(number);
  CHECK(CommonName(view) == "client");
  CHECK(view.name == "backend:a");
  const unsigned char* at = AsUnsigned(view.key_der);
  const pki::KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(view.key_der.size())));
  REQUIRE(key != nullptr);
  CHECK(EVP_PKEY_eq(key.get(), site.key.get()) == 1);
  CHECK(mapped.settings->backends()[1].certificate == kNoCertificate);
  // It says that it is for mail.example.com, and clients get the one that serves that name.
  const Choices choices = mapped.index->Find("mail.example.com");
  REQUIRE(choices.count == 1);
  CHECK(mapped.index->Get(choices.certificates[0]).name == "default");
  for (const uint32_t one : mapped.index->default_certificates()) CHECK(one != number);
  REQUIRE(generation->summaries.size() == 2);
  CHECK(generation->summaries[1].backend == "a");
  CHECK(generation->summaries[0].backend.empty());
  // It is in memory that is wiped, like every key.
  for (const PartPtr& part : generation->parts) {
    if (part->kind() == PartKind::kKeys) continue;
    const auto mapping = os::MapFd(part->fd(), os::MapMode::kReadOnly);
    REQUIRE(mapping.has_value());
    CHECK(AsText(mapping->bytes()).find(AsText(view.key_der)) == std::string_view::npos);
  }
}

TEST_CASE("compile: a pair for servers is read again when its files change", "[backend-tls]") {
  TlsSite site;
  config::Backend& backend = site.Add("a");
  site.Show(backend, "client");
  site.Settle();
  const GenerationPtr first = site.Compile();
  CHECK(first->certificates_read == 2);
  const GenerationPtr second = site.Compile(first);
  CHECK(second->certificates_read == 0);
  const auto shown = [](const GenerationPtr& generation) {
    const Mapped mapped = MapGeneration(*generation);
    return CommonName(mapped.index->Get(mapped.settings->backends()[0].certificate));
  };
  CHECK(shown(second) == "client");
  site.Show(backend, "client", 5'000);
  const GenerationPtr third = site.Compile(second);
  CHECK(third->certificates_read == 1);
  CHECK(shown(third) == "client");
}

TEST_CASE("compile: a pair for servers that is no pair refuses the generation", "[backend-tls]") {
  TlsSite site;
  config::Backend& backend = site.Add("a");
  site.Show(backend, "client");
  backend.tls.certificate = site.directory / "none.pem";
  CHECK(Has(AllOf(site.Faults()), "postern.toml:22:1: "));
  site.Show(backend, "client");
  const pki::KeyPtr other = pki::MakeEcKey();
  site.Write("client-key.pem", pki::Pem(other.get()));
  CHECK(Has(AllOf(site.Faults()), "does not belong to the certificate"));
  site.Write("client-key.pem", pki::Pem(site.key.get(), "secret"));
  CHECK(Has(AllOf(site.Faults()), "client-key.pem"));
  site.Write("pass", "secret\n");
  backend.tls.passphrase = {pki::PassphraseKind::kFile, site.directory / "pass"};
  CHECK(site.Compile()->warnings.empty());
}

TEST_CASE("compile: what back ends name can be checked by itself", "[backend-tls]") {
  TlsSite site;
  site.Show(site.Add("a"), "client");
  const auto& backends = site.loaded.config.backends;
  CHECK(CheckBackendFiles(backends, false).empty());
  site.Add("b").tls.ca = site.directory / "none.pem";
  site.loaded.config.backends[0].tls.key = site.directory / "ca.pem";
  const std::string faults = AllOf(CheckBackendFiles(backends, false));
  CHECK(Has(faults, "postern.toml:21:1: "));
  CHECK(Has(faults, "postern.toml:22:1: "));
}

TEST_CASE("compile: an expired pair for servers is a warning", "[backend-tls]") {
  TlsSite site;
  site.Show(site.Add("a"), "client", -60);
  const std::string warnings = AllOf(site.Compile()->warnings);
  CHECK(Has(warnings, "postern.toml:22:1: "));
  CHECK(Has(warnings, "expired at"));
  CHECK(Has(warnings, "renew it; the servers refuse it"));
}

TEST_CASE("compile: a pair for servers alone does not serve clients", "[backend-tls]") {
  TlsSite site;
  site.Remove("default.crt");
  site.Remove("default.key");
  site.Show(site.Add("a"), "client");
  CHECK(Has(AllOf(site.Faults()), "there is no certificate"));
}

}  // namespace postern::generation
