#include "postern/generation/compile.h"

#include <netinet/in.h>

#include "postern/pki/self_signed.h"
#include "tests/unit/generation/site.h"

namespace postern::generation {
namespace {

bool Has(const std::string& text, std::string_view phrase) {
  if (text.find(phrase) != std::string::npos) return true;
  UNSCOPED_INFO("\"" << text << "\" does not say \"" << phrase << "\"");
  return false;
}

config::Server Server(const std::string& host, uint16_t port, uint32_t line) {
  return {host + ":" + std::to_string(port), host, port, "", {"postern.toml", line, 1}};
}

}  // namespace

TEST_CASE("compile: a configuration becomes what a worker serves") {
  Site site;
  site.Pair("default", "mail.example.com");
  site.Pair("wild", "*.example.org");
  config::Config& config = site.loaded.config;
  config.backends.resize(1);
  config.backends[0].name = "imap";
  config.backends[0].servers = {Server("127.0.0.1", 143, 20),
                                {"unix:/run/imap", "", 0, "/run/imap", {}}};
  config.listeners.resize(1);
  config.listeners[0].name = "imaps";
  config.listeners[0].service = config::Service::kImap;
  config.listeners[0].backend = "imap";
  config.listeners[0].addresses = {{"::", 993, true, {"postern.toml", 30, 1}},
                                   {"::1", 994, false, {}},
                                   {"127.0.0.1", 994, false, {}}};
  const GenerationPtr generation = site.Compile();
  CHECK(generation->number == 1);
  CHECK(generation->warnings.empty());
  CHECK(generation->certificates == 2);
  CHECK(generation->certificates_read == 2);
  REQUIRE(generation->sockets.size() == 3);
  CHECK_FALSE(generation->sockets[0].v6_only);
  CHECK(generation->sockets[0].where.line == 30);
  CHECK(generation->sockets[1].v6_only);
  CHECK(generation->sockets[2].address.ToString() == "127.0.0.1:994");
  CHECK(generation->sockets[2].listener == "imaps");

  const Mapped mapped = MapGeneration(*generation);
  CHECK(mapped.settings->number() == 1);
  REQUIRE(mapped.settings->sockets().size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(mapped.settings->sockets()[i].address == generation->sockets[i].address);
  }
  const auto& servers = mapped.settings->backends().at(0).servers;
  REQUIRE(servers.size() == 2);
  CHECK(servers[0].addresses.at(0).ToString() == "127.0.0.1:143");
  CHECK(servers[1].addresses.at(0).ToString() == "unix:/run/imap");

  CHECK(First(mapped.index->Find("mail.example.com")) ==
        First(mapped.index->default_certificates()));
  const uint32_t wild = First(mapped.index->Find("imap.example.org"));
  REQUIRE(wild != kNobody);
  const CertificateView view = mapped.index->Get(wild);
  CHECK(view.name == "wild");
  // What is stored is the certificate of the file, and its key.
  const unsigned char* at = AsUnsigned(view.chain_der.at(0));
  const pki::X509Ptr leaf(d2i_X509(nullptr, &at, static_cast<long>(view.chain_der[0].size())));
  REQUIRE(leaf != nullptr);
  CHECK(X509_check_host(leaf.get(), "imap.example.org", 0, 0, nullptr) == 1);
  at = AsUnsigned(view.key_der);
  const pki::KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(view.key_der.size())));
  REQUIRE(key != nullptr);
  CHECK(X509_check_private_key(leaf.get(), key.get()) == 1);

  REQUIRE(generation->summaries.size() == 2);
  CHECK(generation->summaries[0].name == "default");
  CHECK(generation->summaries[0].is_default);
  CHECK(generation->summaries[1].names == std::vector<std::string>{"*.example.org"});
  CHECK(generation->summaries[1].key_type == "EC P-256");
  CHECK(generation->summaries[1].certificate_path == site.directory / "wild.crt");
  CHECK(generation->summaries[1].not_after > generation->summaries[1].not_before);
}

TEST_CASE("compile: the certificate that expires first, and no summaries for who wants none") {
  Site site;
  for (const auto& [name, days] : {std::pair("default", 90), {"soon", 10}, {"late", 400}}) {
    pki::CertificateSpec spec;
    spec.alternative_names = std::string("DNS:") + name + ".example.com";
    spec.not_after = 86'400L * days;
    site.Write(std::string(name) + ".crt",
               pki::Pem(pki::MakeCertificate(spec, site.key.get()).get()));
    site.Write(std::string(name) + ".key", pki::Pem(site.key.get()));
  }
  const GenerationPtr made = site.Compile();
  CHECK(made->soonest_name == "soon");
  CHECK(made->soonest_expiry_s == made->summaries.at(2).not_after);
  const auto bare = Compile(site.loaded, nullptr, 2, Occasion::kStart, Summaries::kLeftOut);
  REQUIRE(bare.has_value());
  CHECK((*bare)->summaries.empty());
  CHECK((*bare)->certificates == 3);
  CHECK((*bare)->soonest_name == "soon");
}

TEST_CASE("compile: links that lead nowhere are no chains, responses or keys") {
  Site site;
  site.Pair("default", "mail.example.com");
  for (const char* name : {"default.chain", "default.ocsp"}) {
    std::filesystem::create_symlink("nowhere", site.directory / name);
  }
  CHECK(site.Compile()->certificates == 1);
  site.Remove("default.key");
  std::filesystem::create_symlink("nowhere", site.directory / "default.key");
  CHECK(AllOf(site.Faults()).find("has no key") != std::string::npos);
}

TEST_CASE("compile: every fault is told at once, with its place") {
  Site site;
  site.Pair("good", "mail.example.com");
  site.Write("nokey.crt", "x");
  site.Write("bad.crt", "garbage");
  site.Write("bad.key", "garbage");
  site.Configure("good", "good", 11);
  site.Configure("missing", "missing", 12);
  config::Config& config = site.loaded.config;
  config.listeners.resize(1);
  config.listeners[0].name = "l";
  config.listeners[0].backend = "b";
  config.listeners[0].addresses = {
      {"fe80::1%nosuchinterface", 993, false, {"postern.toml", 13, 9}}};
  config.backends.resize(1);
  config.backends[0].name = "b";
  config.backends[0].servers = {
      {"unix:/long", "", 0, "/" + std::string(200, 'x'), {"postern.toml", 14, 5}}};
  const std::vector<Error> faults = site.Faults();
  const std::string text = AllOf(faults);
  CHECK(faults.size() == 5);
  CHECK(Has(text, "postern.toml:12:1: certificate file " + (site.directory / "missing.crt") +
                      " does not exist"));
  CHECK(Has(text, "postern.toml:5:1: certificate file " + (site.directory / "bad.crt") +
                      " holds no PEM block"));
  CHECK(Has(text, (site.directory / "nokey.crt") + " has no key"));
  CHECK(Has(text, "postern.toml:13:9: listener l: fe80::1%nosuchinterface"));
  CHECK(Has(text, "postern.toml:14:5: backend b: the path of unix:/long is too long"));
}

TEST_CASE("compile: the directory gives pairs by their files' names, sorted") {
  Site site;
  for (const char* name : {"zeta", "default", "alpha"})
    site.Pair(name, std::string(name) + ".example");
  site.Pair(".hidden", "hidden.example");
  site.Write("waiting.key", "a key whose certificate has been asked for");
  site.Write("default.crt.previous", "x");
  site.Write("README", "x");
  const GenerationPtr generation = site.Compile();
  REQUIRE(generation->summaries.size() == 3);
  CHECK(generation->summaries[0].name == "alpha");
  CHECK(generation->summaries[1].name == "default");
  CHECK(generation->summaries[2].name == "zeta");
}

TEST_CASE("compile: which certificate is the default") {
  Site site;
  const auto default_of = [&](const GenerationPtr& generation) {
    const Mapped mapped = MapGeneration(*generation);
    return std::string(mapped.index->Get(First(mapped.index->default_certificates())).name);
  };
  site.Pair("alpha", "alpha.example");
  site.Pair("beta", "beta.example");

  SECTION("none is") {
    CHECK(Has(AllOf(site.Faults()), "no certificate is the default"));
    CHECK(Has(AllOf(site.Faults()), "default = \"alpha\""));
  }
  SECTION("the one called default") {
    site.Pair("default", "default.example");
    CHECK(default_of(site.Compile()) == "default");
    site.Configure("beta", "configured");
    CHECK(default_of(site.Compile()) == "default");
  }
  SECTION("else the first configured pair") {
    site.Configure("beta", "second");
    site.Configure("alpha", "third");
    CHECK(default_of(site.Compile()) == "second");
  }
  SECTION("the one that is asked for") {
    site.certificates().default_name = "beta";
    CHECK(default_of(site.Compile()) == "beta");
    site.Configure("alpha", "configured");
    site.certificates().default_name = "configured";
    CHECK(default_of(site.Compile()) == "configured");
    // By the name that it takes from the certificate.
    site.Configure("beta", "");
    site.certificates().default_name = "beta.example";
    CHECK(default_of(site.Compile()) == "beta.example");
  }
  SECTION("one that is not there") {
    site.certificates().default_name = "betta";
    const std::string text = AllOf(site.Faults());
    CHECK(Has(text, "postern.toml:5:1: no certificate has the name \"betta\""));
    CHECK(Has(text, "did you mean \"beta\"?"));
  }
  SECTION("none is, beside another fault") {
    site.Write("bad.crt", "x");
    site.Write("bad.key", "x");
    CHECK(site.Faults().size() == 2);
  }
  SECTION("one that has no key is one fault, not two") {
    site.Write("default.crt", "x");
    CHECK(site.Faults().size() == 1);
  }
  SECTION("one that cannot be used is one fault, not two") {
    site.Write("default.crt", "x");
    site.Write("default.key", "x");
    CHECK(site.Faults().size() == 1);
  }
}

TEST_CASE("compile: no certificate at all") {
  Site site;
  CHECK(Has(AllOf(site.Faults()), "there is no certificate"));
  CHECK(Has(AllOf(site.Faults()), "postern cert self-signed"));

  site.certificates().directory += "/nosuch";
  CHECK(Has(AllOf(site.Faults()), "cannot read the certificate directory"));
  // The built-in directory may be missing, as long as there is a pair.
  site.certificates().directory_set = false;
  CHECK(Has(AllOf(site.Faults()), "there is no certificate"));
  site.Pair("a", "a.example");
  site.Configure("a", "a");
  CHECK(site.Compile()->certificates == 1);
}

TEST_CASE("compile: when a self-signed pair has to be made first") {
  Site site;
  config::Certificates& certificates = site.certificates();
  CHECK(NeedsSelfSigned(certificates));
  certificates.default_name = "default";
  CHECK(NeedsSelfSigned(certificates));
  certificates.default_name = "other";
  CHECK_FALSE(NeedsSelfSigned(certificates));
  certificates.default_name.clear();

  // A key alone may be the one of a certificate that is still to come.
  site.Write("default.key", "x");
  CHECK_FALSE(NeedsSelfSigned(certificates));
  site.Remove("default.key");
  site.Write("default.crt", "x");
  CHECK_FALSE(NeedsSelfSigned(certificates));
  site.Remove("default.crt");

  certificates.directory = site.directory / "new/certs";
  REQUIRE(NeedsSelfSigned(certificates));
  REQUIRE(pki::InstallSelfSigned(certificates.directory).has_value());
  CHECK_FALSE(NeedsSelfSigned(certificates));
  CHECK(site.Compile()->summaries.at(0).name == "default");

  certificates.directory = site.directory / "other";
  site.Configure("x", "x");
  CHECK_FALSE(NeedsSelfSigned(certificates));
}

TEST_CASE("compile: intermediates beside a certificate are taken, and missed when they go") {
  Site site;
  const pki::KeyPtr ca_key = pki::MakeEcKey();
  pki::CertificateSpec ca_spec;
  ca_spec.common_name = "Inter";
  ca_spec.alternative_names.clear();
  const pki::X509Ptr ca = pki::MakeCertificate(ca_spec, ca_key.get());
  site.Write("default.key", pki::Pem(site.key.get()));
  site.Write("default.crt",
             pki::Pem(pki::MakeCertificate({}, site.key.get(), ca.get(), ca_key.get()).get()));
  const auto length = [](const GenerationPtr& generation) {
    return MapGeneration(*generation).index->Get(0).chain_der.size();
  };
  site.Settle();
  const GenerationPtr alone = site.Compile();
  CHECK(length(alone) == 1);
  site.Write("default.chain", pki::Pem(ca.get()));
  const GenerationPtr both = site.Compile(alone);
  CHECK(both->certificates_read == 1);
  CHECK(length(both) == 2);
  site.Settle();
  CHECK(site.Compile(site.Compile(both))->certificates_read == 0);
  site.Remove("default.chain");
  CHECK(length(site.Compile(both)) == 1);
}

TEST_CASE("compile: keys that others can get at are faults") {
  Site site;
  site.Pair("default", "mail.example.com");
  REQUIRE(::chmod(site.directory.path().c_str(), 0750) == 0);
  CHECK(Has(AllOf(site.Faults()), "postern.toml:5:1: the certificate directory " +
                                      site.directory.path() + ", which is for keys, is open"));
  CHECK(Has(AllOf(site.Faults()), "chmod 700 " + site.directory.path()));
  REQUIRE(::chmod(site.directory.path().c_str(), 0700) == 0);
  const std::string key = site.directory / "default.key";
  REQUIRE(::chmod(key.c_str(), 0640) == 0);
  CHECK(Has(AllOf(site.Faults()), "chmod 600 " + key));
  CHECK(CheckCertificates(site.certificates(), false).size() == 1);
  // The same file as a pair of its own may be its group's.
  site.Configure("default", "default");
  CHECK(site.Compile()->certificates == 1);
  REQUIRE(::chmod(key.c_str(), 0644) == 0);
  CHECK(Has(AllOf(site.Faults()), "postern.toml:10:1: key file " + key + " is open to others"));
}

TEST_CASE("compile: a name of two certificates goes to the first, with one warning") {
  Site site;
  site.Pair("default", "mail.example.com");
  site.Pair("other", "mail.example.com");
  GenerationPtr generation = site.Compile();
  CHECK(First(MapGeneration(*generation).index->Find("mail.example.com")) == 0);
  REQUIRE(generation->warnings.size() == 1);
  CHECK(Has(generation->warnings[0].what,
            "certificate \"other\" does not serve mail.example.com: certificate \"default\""));
  // Configured pairs come before the directory.
  site.Pair("third", "mail.example.com");
  std::filesystem::create_directory(site.directory / "elsewhere");
  site.Pair("elsewhere/pair", "mail.example.com");
  site.Configure("elsewhere/pair", "configured");
  generation = site.Compile();
  const Mapped mapped = MapGeneration(*generation);
  CHECK(mapped.index->Get(First(mapped.index->Find("mail.example.com"))).name == "configured");
  CHECK(generation->warnings.size() == 3);
}

TEST_CASE("compile: certificates' own names are distinct") {
  Site site;
  site.Pair("a", "a.example");
  site.Pair("b", "b.example");
  site.Configure("a", "mail", 11);
  site.Configure("b", "mail", 12);
  CHECK(Has(AllOf(site.Faults()), "postern.toml:12:1: two certificates have the name \"mail\""));
  // A configured pair stands in front of the directory's of the same name.
  site.certificates().pairs[1].name = "a";
  const GenerationPtr generation = site.Compile();
  REQUIRE(generation->summaries.size() == 3);
  CHECK(generation->summaries[1].certificate_path == site.directory / "b.crt");
  CHECK(generation->summaries[2].name == "b");
  CHECK(Has(AllOf(generation->warnings), "a.crt is not used"));
}

TEST_CASE("compile: an expired certificate is served, with a warning every time") {
  Site site;
  pki::CertificateSpec spec;
  spec.not_before = -86'400 * 3;
  spec.not_after = -86'400;
  site.Write("default.crt", pki::Pem(pki::MakeCertificate(spec, site.key.get()).get()));
  site.Write("default.key", pki::Pem(site.key.get()));
  const GenerationPtr first = site.Compile();
  CHECK(Has(AllOf(first->warnings), "expired at"));
  CHECK(Has(AllOf(site.Compile(first)->warnings), "postern.toml:5:1: the certificate in "));
}

TEST_CASE("compile: a certificate that no client will see is warned of") {
  Site site;
  site.Pair("default", "mail.example.com");
  pki::CertificateSpec spec;
  spec.common_name = "An Organization";
  spec.alternative_names.clear();
  site.Write("nameless.crt", pki::Pem(pki::MakeCertificate(spec, site.key.get()).get()));
  site.Write("nameless.key", pki::Pem(site.key.get()));
  CHECK(Has(AllOf(site.Compile()->warnings), "nameless.crt names no host"));
  site.certificates().default_name = "nameless";
  CHECK(site.Compile()->warnings.empty());
}

TEST_CASE("compile: a server that does not resolve is that back end's trouble alone") {
  Site site;
  site.Pair("default", "mail.example.com");
  config::Config& config = site.loaded.config;
  config.backends.resize(1);
  config.backends[0].name = "imap";
  // RFC 6761 section 6.4: "invalid" never resolves.
  config.backends[0].servers = {Server("mail.invalid", 143, 21), Server("127.0.0.1", 143, 22)};
  const GenerationPtr generation = site.Compile();
  REQUIRE(generation->warnings.size() == 1);
  CHECK(Has(generation->warnings[0].ToString(),
            "postern.toml:21:1: backend imap: server mail.invalid:143: "));
  const Mapped mapped = MapGeneration(*generation);
  const auto& servers = mapped.settings->backends().at(0).servers;
  CHECK(servers[0].addresses.empty());
  CHECK_FALSE(servers[0].unresolved_reason.empty());
  CHECK(servers[1].addresses.size() == 1);
}

TEST_CASE("compile: at a fault nothing comes of it, and what was goes on") {
  Site site;
  site.Pair("default", "mail.example.com");
  const GenerationPtr first = site.Compile();
  site.Write("default.key", "garbage");
  CHECK(Has(AllOf(site.Faults(first)), "holds no PEM block"));
  CHECK(First(MapGeneration(*first).index->Find("mail.example.com")) == 0);
}

TEST_CASE("compile: what waits for its other half holds up nobody else", "[watch]") {
  Site site;
  site.Pair("default", "a.example");
  site.Pair("other", "b.example");
  const GenerationPtr first = site.Compile();
  const auto watch = [&](const GenerationPtr& previous) {
    auto made = Compile(site.loaded, previous, ++site.number, Occasion::kWatch);
    if (!made.has_value()) FAIL(AllOf(made.error()));
    return *made;
  };
  const auto leaf = [](const GenerationPtr& generation, std::string_view host) {
    const Mapped mapped = MapGeneration(*generation);
    const CertificateView view = mapped.index->Get(*mapped.index->Find(host).begin());
    return std::vector<std::byte>(view.chain_der[0].begin(), view.chain_der[0].end());
  };
  // Nothing has changed, be it touched or not.
  CHECK(ServesTheSame(*first, *watch(first)));

  // One pair is renewed, the other one half written: its key is there already.
  site.Pair("other", "b.example");
  site.Write("default.key", pki::Pem(pki::MakeEcKey().get()));
  const GenerationPtr second = watch(first);
  CHECK(second->certificates == 2);
  CHECK_FALSE(ServesTheSame(*first, *second));
  CHECK(leaf(second, "a.example") == leaf(first, "a.example"));
  CHECK(leaf(second, "b.example") != leaf(first, "b.example"));
  REQUIRE(second->waiting.size() == 1);
  CHECK(Has(second->waiting[0].what, "default.key"));
  // Tried again without success, nothing is different; and an ordinary reload is refused as ever.
  CHECK(ServesTheSame(*second, *watch(second)));
  CHECK(watch(second)->waiting.size() == 1);
  CHECK(site.Faults(second).size() == 1);

  // A new certificate whose key is to come is left out until then.
  site.Pair("third", "c.example");
  site.Remove("third.key");
  const GenerationPtr third = watch(second);
  CHECK(third->certificates == 2);
  CHECK(third->waiting.size() == 2);
  site.Write("third.key", pki::Pem(site.key.get()));
  site.Pair("default", "a.example");
  const GenerationPtr last = watch(third);
  CHECK(last->certificates == 3);
  CHECK(last->waiting.empty());
  CHECK(leaf(last, "a.example") != leaf(first, "a.example"));
}

TEST_CASE("compile: without its directory a watched generation goes on as it is", "[watch]") {
  Site site;
  site.Pair("default", "a.example");
  const GenerationPtr first = site.Compile();
  site.certificates().directory = site.directory / "gone";
  CHECK_FALSE(Compile(site.loaded, first, 2, Occasion::kWatch).has_value());
}

}  // namespace postern::generation
