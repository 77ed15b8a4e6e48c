// OCSP responses on their way from files into a generation.
#include "tests/unit/generation/site.h"
#include "tests/unit/pki/make_staple.h"

namespace postern::generation {
namespace {

// A site whose pair "default" an authority has issued.
struct StapleSite {
  StapleSite() { Renew(); }

  void Renew() {
    leaf = issuer.Issue("mail.example.com", site.key.get());
    site.Write("default.crt", pki::Pem(leaf.get()) + pki::Pem(issuer.certificate.get()));
    site.Write("default.key", pki::Pem(site.key.get()));
  }
  std::string WriteStaple(const pki::ResponseSpec& spec = {}) {
    const std::string der = issuer.Respond(leaf.get(), spec);
    site.Write("default.ocsp", der);
    return der;
  }

  Site site;
  pki::TestIssuer issuer;
  pki::X509Ptr leaf;
};

std::string StapleOf(const Generation& generation) {
  const Mapped mapped = MapGeneration(generation);
  const uint32_t number = First(mapped.index->default_certificates());
  return std::string(AsText(mapped.index->Staple(number).response));
}

uint64_t IdentityOf(const Generation& generation) {
  const Mapped mapped = MapGeneration(generation);
  return mapped.index->Facts(First(mapped.index->default_certificates())).identity;
}

bool Warns(const Generation& generation, std::string_view words) {
  return AllOf(generation.warnings).find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("staple: NAME.ocsp beside a pair is taken", "[generation][staple]") {
  StapleSite test;
  const std::string der = test.WriteStaple();
  const GenerationPtr generation = test.site.Compile();
  CHECK(generation->warnings.empty());
  CHECK(StapleOf(*generation) == der);
}

TEST_CASE("staple: a pair names its response's file", "[generation][staple]") {
  StapleSite test;
  const std::string der = test.WriteStaple();
  test.site.certificates().directory.clear();
  test.site.Configure("default", "mail");
  CHECK(StapleOf(*test.site.Compile()).empty());
  test.site.certificates().pairs[0].ocsp = test.site.directory / "default.ocsp";
  CHECK(StapleOf(*test.site.Compile()) == der);
  test.site.certificates().pairs[0].ocsp = test.site.directory / "missing.ocsp";
  const GenerationPtr generation = test.site.Compile();
  CHECK(Warns(*generation, "postern.toml:10:1: cannot read the OCSP response"));
}

TEST_CASE("staple: a new response is live without another identity, then gone again",
          "[generation][staple]") {
  StapleSite test;
  const GenerationPtr first = test.site.Compile();
  CHECK(StapleOf(*first).empty());
  const std::string der = test.WriteStaple();
  const GenerationPtr second = test.site.Compile(first);
  CHECK(StapleOf(*second) == der);
  const std::string newer = test.WriteStaple({.next_update = 100'000});
  const GenerationPtr third = test.site.Compile(second);
  CHECK(newer != der);
  CHECK(StapleOf(*third) == newer);
  CHECK(StapleOf(*second) == der);  // what serves is not changed
  test.site.Remove("default.ocsp");
  const GenerationPtr fourth = test.site.Compile(third);
  CHECK(StapleOf(*fourth).empty());
  for (const GenerationPtr& generation : {second, third, fourth}) {
    CHECK(IdentityOf(*generation) == IdentityOf(*first));
  }
}

TEST_CASE("staple: an unchanged response is not stored again", "[generation][staple]") {
  StapleSite test;
  test.WriteStaple();
  const GenerationPtr first = test.site.Compile();
  const GenerationPtr second = test.site.Compile(first);
  CHECK(std::equal(first->parts.begin() + 1, first->parts.end(), second->parts.begin() + 1));
  test.site.Settle();
  const GenerationPtr third = test.site.Compile(second);
  const GenerationPtr fourth = test.site.Compile(third);
  CHECK(fourth->certificates_read == 0);
  CHECK(StapleOf(*fourth) == StapleOf(*first));
}

TEST_CASE("staple: one that is wrong is left out with a warning, and the pair serves",
          "[generation][staple]") {
  StapleSite test;
  test.WriteStaple({.this_update = -7200, .next_update = -60});
  GenerationPtr generation = test.site.Compile();
  CHECK(Warns(*generation, "default.ocsp is not stapled: it has been out of date since"));
  CHECK(StapleOf(*generation).empty());
  // A renewed certificate leaves the response of the old one behind.
  test.WriteStaple();
  generation = test.site.Compile(generation);
  CHECK_FALSE(StapleOf(*generation).empty());
  test.Renew();
  generation = test.site.Compile(generation);
  CHECK(Warns(*generation, "it is not about this certificate"));
  CHECK(StapleOf(*generation).empty());
}

}  // namespace postern::generation
