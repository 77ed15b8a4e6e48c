#include "postern/pki/import.h"

#include <openssl/err.h>

#include <algorithm>
#include <ctime>

#include "postern/pki/judge.h"
#include "tests/unit/pki/forms.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

Result<SecretBytes> Refuse(const std::string& what, int) { return Fail("asked for " + what); }

// Root, intermediate, and what a test adds; each named by what it is read "from".
struct Fixture {
  KeyPtr root_key = MakeEcKey();
  KeyPtr inter_key = MakeEcKey();
  KeyPtr key = MakeEcKey();
  X509Ptr root;
  X509Ptr inter;
  X509Ptr leaf;
  Material given;
  Material known;
  ImportOptions options;

  Fixture() {
    options.now = std::time(nullptr);
    root = Authority("Root", root_key.get());
    inter = Authority("Inter", inter_key.get(), root.get(), root_key.get());
    leaf = Issue({});
  }
  static X509Ptr Authority(const char* name, EVP_PKEY* key, X509* issuer = nullptr,
                           EVP_PKEY* issuer_key = nullptr) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.alternative_names.clear();
    return MakeCertificate(spec, key, issuer, issuer_key);
  }
  X509Ptr Issue(const CertificateSpec& spec) const {
    return MakeCertificate(spec, key.get(), inter.get(), inter_key.get());
  }
  static void Add(Material& material, const std::string& pem, const std::string& from) {
    REQUIRE(DecodeMaterial(Octets(pem), from, Refuse, material).has_value());
  }
  void Give(const std::string& pem, const std::string& from) { Add(given, pem, from); }

  ImportPlan Plan() {
    auto plan = PlanImport(given, known, options);
    CHECK(ERR_peek_error() == 0);
    if (!plan.has_value()) FAIL(plan.error().front().ToString());
    return std::move(*plan);
  }
  std::string Faults() {
    const auto plan = PlanImport(given, known, options);
    CHECK(ERR_peek_error() == 0);
    REQUIRE_FALSE(plan.has_value());
    std::string text;
    for (const Error& fault : plan.error()) text += fault.ToString() + "\n";
    return text;
  }
};

std::string AllOf(const std::vector<Error>& errors) {
  std::string text;
  for (const Error& error : errors) text += error.ToString() + "\n";
  return text;
}

}  // namespace

TEST_CASE("pki: an import finds pair, order and name by itself") {
  Fixture f;
  f.Give(Pem(f.root.get()) + Pem(f.inter.get()) + Pem(f.leaf.get()), "all.pem");
  f.Give(Pem(f.key.get()), "key.pem");
  const ImportPlan plan = f.Plan();
  CHECK(plan.name == "mail.example.com");
  REQUIRE(plan.chain.size() == 2);
  CHECK(X509_cmp(plan.chain[0], f.leaf.get()) == 0);
  CHECK(X509_cmp(plan.chain[1], f.inter.get()) == 0);
  CHECK(plan.key_from == "key.pem");
  CHECK(plan.warnings.empty());
  REQUIRE(plan.notes.size() == 2);
  CHECK(Says(plan.notes[0], {"the root CN=Root in all.pem is left out"}));
  CHECK(plan.notes[1] == "the chain is put in order, leaf first");
  const Result<PairTexts> texts = TextsOf(plan);
  REQUIRE(texts.has_value());
  CHECK(texts->certificate_pem == Pem(f.leaf.get()) + Pem(f.inter.get()));
  CHECK(texts->key_pem.text() == Pem(f.key.get()));
  const SecretBytes passphrase = Octets("secret");
  CHECK(Says(std::string(TextsOf(plan, &passphrase)->key_pem.text()),
             {"BEGIN ENCRYPTED PRIVATE KEY"}));
}

TEST_CASE("pki: a key that waits and an intermediate that is there already are found") {
  Fixture f;
  f.Give(Pem(f.leaf.get()), "leaf.crt");
  Fixture::Add(f.known, Pem(MakeEcKey().get()), "certs/other.key");
  Fixture::Add(f.known, Pem(f.key.get()), "certs/mail.key.new");
  Fixture::Add(f.known, Pem(f.inter.get()), "certs/mail.crt");
  const ImportPlan plan = f.Plan();
  CHECK(plan.key_from == "certs/mail.key.new");
  CHECK(plan.chain.size() == 2);
  CHECK(plan.notes ==
        std::vector<std::string>{"the intermediate CN=Inter is taken from certs/mail.crt"});
}

TEST_CASE("pki: of two certificates of one key the one that lives longer is taken") {
  Fixture f;
  CertificateSpec spec;
  spec.not_after = 86'400 * 200;
  const X509Ptr renewed = f.Issue(spec);
  f.Give(Pem(f.leaf.get()) + Pem(renewed.get()) + Pem(f.inter.get()) + Pem(f.key.get()), "a.pem");
  const ImportPlan plan = f.Plan();
  CHECK(X509_cmp(plan.chain[0], renewed.get()) == 0);
  CHECK(Says(AllOf(plan.warnings), {"is no part of the chain and left out"}));
}

TEST_CASE("pki: names of the files") {
  Fixture f;
  CertificateSpec spec;
  spec.alternative_names = "DNS:*.Example.com";
  const X509Ptr wildcard = f.Issue(spec);
  f.Give(Pem(wildcard.get()) + Pem(f.inter.get()) + Pem(f.key.get()), "a.pem");
  CHECK(f.Plan().name == "_.example.com");
  f.options.name = "new";
  CHECK(f.Plan().name == "new");
  for (const char* name : {"../a", ".a", "a b"}) {
    f.options.name = name;
    CHECK(Says(f.Faults(), {"is no good name for a certificate"}));
  }
  f = Fixture();
  spec.common_name = "Example Company";
  spec.alternative_names.clear();
  f.Give(Pem(f.Issue(spec).get()) + Pem(f.key.get()), "a.pem");
  CHECK(Says(f.Faults(), {"names no host to call it by", "--name NAME"}));
}

TEST_CASE("pki: each fault of an import has its own message, and all come at once") {
  Fixture f;
  SECTION("nothing to import") {
    CHECK(Says(f.Faults(), {"there is no certificate in what was given"}));
    f.Give(Pem(f.key.get()), "a.key");
    CHECK(Says(f.Faults(), {"there is a key (a.key), but no certificate for it"}));
  }
  SECTION("no key") {
    f.Give(Pem(f.inter.get()) + Pem(f.leaf.get()), "a.crt");
    CHECK(Says(f.Faults(), {"there is no key for the certificate of CN=mail.example.com in a.crt",
                            "EC P-256, fingerprint ", "give the file with its key"}));
  }
  SECTION("a key of another certificate") {
    f.Give(Pem(f.leaf.get()), "a.crt");
    f.Give(Pem(MakeRsaKey(2048).get()), "b.key");
    CHECK(Says(f.Faults(), {"the key in b.key (RSA 2048, fingerprint ", "belongs to no certificate",
                            "CN=mail.example.com in a.crt is for a key EC P-256"}));
    // A key that fits is not looked for elsewhere when one was given: that would hide the mistake.
    Fixture::Add(f.known, Pem(f.key.get()), "certs/a.key");
    CHECK(Says(f.Faults(), {"belongs to no certificate"}));
  }
  SECTION("two pairs") {
    const KeyPtr other = MakeEcKey();
    f.Give(Pem(f.leaf.get()) + Pem(f.key.get()), "a.pem");
    f.Give(Pem(MakeCertificate({}, other.get()).get()) + Pem(other.get()), "b.pem");
    CHECK(Says(f.Faults(), {"there are several pairs", "import one at a time"}));
  }
  SECTION("expired, or not valid yet") {
    CertificateSpec spec;
    spec.not_before = -86'400 * 3;
    spec.not_after = -86'400;
    f.Give(Pem(f.Issue(spec).get()) + Pem(f.key.get()), "a.pem");
    CHECK(Says(f.Faults(), {"the certificate CN=mail.example.com expired at 20", "renewed"}));
    f.given = Material();
    spec.not_before = 86'400;
    spec.not_after = 86'400 * 2;
    f.Give(Pem(f.Issue(spec).get()) + Pem(f.key.get()), "a.pem");
    CHECK(Says(f.Faults(), {"is not valid before 20", "clock"}));
  }
  SECTION("weak") {
    f.key = MakeRsaKey(1024);
    CertificateSpec spec;
    spec.digest = EVP_sha1();
    f.Give(Pem(f.Issue(spec).get()) + Pem(f.key.get()), "a.pem");
    CHECK(Says(f.Faults(), {"the key of the certificate CN=mail.example.com is only RSA 1024",
                            "the certificate CN=mail.example.com is signed with SHA-1"}));
  }
  SECTION("an EC key on a curve that no client offers") {
    f.key = MakeEcKey("secp256k1");
    f.Give(Pem(f.Issue({}).get()) + Pem(f.key.get()), "a.pem");
    CHECK(Says(f.Faults(), {"the key of the certificate CN=mail.example.com is EC secp256k1, a "
                            "curve that clients do not offer",
                            "EC P-256"}));
  }
  SECTION("an intermediate with SHA-1") {
    CertificateSpec spec;
    spec.common_name = "Inter";
    spec.alternative_names.clear();
    spec.digest = EVP_sha1();
    const X509Ptr old = MakeCertificate(spec, f.inter_key.get(), f.root.get(), f.root_key.get());
    f.Give(Pem(f.leaf.get()) + Pem(old.get()) + Pem(f.key.get()), "a.pem");
    CHECK(Says(f.Faults(), {"the intermediate certificate CN=Inter is signed with SHA-1",
                            "ask the authority"}));
  }
  SECTION("an intermediate that has expired") {
    CertificateSpec spec;
    spec.common_name = "Inter";
    spec.alternative_names.clear();
    spec.not_before = -86'400 * 3;
    spec.not_after = -86'400;
    const X509Ptr old = MakeCertificate(spec, f.inter_key.get(), f.root.get(), f.root_key.get());
    f.Give(Pem(f.leaf.get()) + Pem(old.get()) + Pem(f.key.get()), "a.pem");
    CHECK(Says(f.Faults(), {"the intermediate certificate CN=Inter expired"}));
  }
  SECTION("a key that cannot serve") {
    const KeyPtr agreement = MakeKey("X25519");
    X509Ptr odd = MakeCertificate({}, f.key.get());
    X509_set_pubkey(odd.get(), agreement.get());
    f.Give(Pem(odd.get()) + Pem(agreement.get()), "a.pem");
    CHECK(Says(f.Faults(), {"the X25519 key in a.pem cannot serve TLS"}));
  }
}

TEST_CASE("pki: what is unwise is imported with a warning") {
  Fixture f;
  f.options.names = {"mail.example.com", "old.example.com"};
  f.Give(Pem(f.leaf.get()) + Pem(f.key.get()) + Pem(MakeEcKey().get()), "a.pem");
  const ImportPlan plan = f.Plan();
  CHECK(Says(AllOf(plan.warnings),
             {"the chain ends at CN=mail.example.com, which was issued by CN=Inter",
              "no longer for old.example.com", "belongs to no certificate here and is left out"}));
}

TEST_CASE("pki: remarks on a server's certificate") {
  const KeyPtr key = MakeEcKey();
  const int64_t now = std::time(nullptr);
  const auto remarks = [&](const CertificateSpec& spec) {
    const KeyPtr ca_key = MakeEcKey();
    const X509Ptr ca = Fixture::Authority("CA", ca_key.get());
    return AllOf(
        RemarksOf(MakeCertificate(spec, key.get(), ca.get(), ca_key.get()).get(), "it", now));
  };
  CHECK(remarks({}).empty());
  CertificateSpec spec;
  spec.not_after = 86'400 * 10 + 60;
  CHECK(Says(remarks(spec), {"it expires in 10 days"}));
  spec = {};
  spec.alternative_names.clear();
  CHECK(Says(remarks(spec), {"names its host in the subject alone"}));
  spec.common_name = "Example Company";
  CHECK(Says(remarks(spec), {"it names no host"}));
  CHECK(Says(AllOf(RemarksOf(MakeCertificate({}, key.get()).get(), "it", now)),
             {"it is self-signed"}));
  CHECK(KeyIsWhole(key.get()));
  CHECK(KeyIsWhole(MakeRsaKey(2048).get()));
}

}  // namespace postern::pki
