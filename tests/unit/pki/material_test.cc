#include "postern/pki/material.h"

#include <openssl/err.h>

#include <fstream>

#include "postern/base/limits.h"
#include "postern/pki/request.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/forms.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

// Answers with each passphrase in turn and counts.
struct Person {
  std::vector<std::string> answers;
  int asked = 0;

  AskPassphrase Ask() {
    return [this](const std::string& what, int attempt) -> Result<SecretBytes> {
      ++asked;
      const auto at = static_cast<size_t>(attempt);
      if (at < answers.size()) return Octets(answers[at]);
      return Fail("no passphrase opens " + what, "give the right one");
    };
  }
};

struct Fixture {
  KeyPtr key = MakeEcKey();
  KeyPtr ca_key = MakeEcKey();
  X509Ptr ca;
  X509Ptr leaf;
  Person person;
  Material material;

  Fixture() {
    CertificateSpec spec;
    spec.common_name = "Example CA";
    spec.alternative_names.clear();
    ca = MakeCertificate(spec, ca_key.get());
    leaf = MakeCertificate({}, key.get(), ca.get(), ca_key.get());
  }

  Status Decode(const std::string& octets) {
    material = Material();
    person.asked = 0;
    const Status done = DecodeMaterial(Octets(octets), "a.file", person.Ask(), material);
    CHECK(ERR_peek_error() == 0);
    return done;
  }
  std::string Fault(const std::string& octets) {
    const Status done = Decode(octets);
    REQUIRE_FALSE(done.has_value());
    return done.error().ToString();
  }
  bool HasKey() const {
    return material.keys.size() == 1 && EVP_PKEY_eq(material.keys[0].key.get(), key.get()) == 1;
  }
  bool HasChain() const {
    return material.certificates.size() == 2 &&
           X509_cmp(material.certificates[0].certificate.get(), leaf.get()) == 0 &&
           X509_cmp(material.certificates[1].certificate.get(), ca.get()) == 0;
  }
};

}  // namespace

TEST_CASE("pki: PEM is read in any order, with text around, each thing once") {
  Fixture f;
  const std::string leaf = Pem(f.leaf.get());
  const std::string ca = Pem(f.ca.get());
  const std::string key = Pem(f.key.get());
  for (const std::string& text : {leaf + ca + key, key + leaf + ca, leaf + key + ca,
                                  "Bag Attributes\n" + leaf + "x\n" + ca + key,
                                  "\xEF\xBB\xBF" + leaf + ca + key, leaf + ca + key + leaf + key}) {
    REQUIRE(f.Decode(text).has_value());
    CHECK(f.HasKey());
    CHECK(f.HasChain());
    CHECK(f.material.certificates[0].from == "a.file");
  }
  const Result<std::string> request = MakeRequest({{}, {"mail.example.com"}}, f.key.get());
  REQUIRE(
      f.Decode(*request + "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n").has_value());
  CHECK(f.material.requests.size() == 1);
  CHECK(f.material.passed_over == std::vector<std::string>{"the block \"X509 CRL\" in a.file"});
}

TEST_CASE("pki: DER and PKCS#7 are read") {
  Fixture f;
  REQUIRE(f.Decode(CertificateDer(f.leaf.get())).has_value());
  CHECK(f.material.certificates.size() == 1);
  REQUIRE(f.Decode(DerOf(i2d_PrivateKey, f.key.get())).has_value());
  CHECK(f.HasKey());
  const std::string bag = Pkcs7Der({f.leaf.get(), f.ca.get()});
  REQUIRE(f.Decode(bag).has_value());
  CHECK(f.HasChain());
  const BioPtr text(BIO_new(BIO_s_mem()));
  PEM_write_bio(text.get(), "PKCS7", "", reinterpret_cast<const unsigned char*>(bag.data()),
                static_cast<long>(bag.size()));
  REQUIRE(f.Decode(BioText(text.get())).has_value());
  CHECK(f.HasChain());
  CHECK(f.person.asked == 0);
}

TEST_CASE("pki: PKCS#12 is opened, asking only when a passphrase is needed") {
  Fixture f;
  for (const char* passphrase : {static_cast<const char*>(nullptr), ""}) {
    REQUIRE(f.Decode(Pkcs12Der(f.key.get(), f.leaf.get(), {f.ca.get()}, passphrase)).has_value());
    CHECK(f.HasKey());
    CHECK(f.HasChain());
    CHECK(f.person.asked == 0);
  }
  f.person.answers = {"wrong", "p\xc3\xa4ss"};
  REQUIRE(f.Decode(Pkcs12Der(f.key.get(), f.leaf.get(), {f.ca.get()}, "p\xc3\xa4ss")).has_value());
  CHECK(f.HasKey());
  CHECK(f.HasChain());
  CHECK(f.person.asked == 2);
  f.person.answers = {"wrong"};
  CHECK(Says(f.Fault(Pkcs12Der(f.key.get(), f.leaf.get(), {}, "right")),
             {"no passphrase opens the PKCS#12 container a.file"}));
}

TEST_CASE("pki: encrypted keys of either form are opened") {
  Fixture f;
  const KeyPtr rsa = MakeRsaKey(2048);
  for (const std::string& sealed : {Pem(f.key.get(), "right"), SealedKeyDer(f.key.get(), "right"),
                                    TraditionalPem(f.key.get(), "right"),
                                    TraditionalPem(f.key.get(), "right", EVP_des_ede3_cbc())}) {
    f.person.answers = {"wrong", "", "right"};
    REQUIRE(f.Decode(sealed).has_value());
    CHECK(f.HasKey());
    CHECK(f.person.asked == 3);
    f.person.answers = {"wrong"};
    CHECK(Says(f.Fault(sealed), {"no passphrase opens the key in a.file"}));
  }
  // With some passphrases the padding comes out right by chance; what then comes out is no key.
  f.person.answers.clear();
  for (int i = 0; i < 600; ++i) f.person.answers.push_back("wrong " + std::to_string(i));
  f.person.answers.push_back("right");
  REQUIRE(f.Decode(TraditionalPem(rsa.get(), "right")).has_value());
  CHECK(f.person.asked == 601);
}

TEST_CASE("pki: a file that asks for too many rounds of hashing is refused before it gets them") {
  Fixture f;
  const std::string sealed = SealedKeyDer(f.key.get(), "right");
  X509_SIG* sig = nullptr;
  const auto* octets = reinterpret_cast<const unsigned char*>(sealed.data());
  sig = d2i_X509_SIG(nullptr, &octets, static_cast<long>(sealed.size()));
  REQUIRE(sig != nullptr);
  X509_ALGOR* algorithm = nullptr;
  X509_SIG_getm(sig, &algorithm, nullptr);
  X509_ALGOR* many = PKCS5_pbe2_set(EVP_aes_256_cbc(),
                                    static_cast<int>(limits::kMaxPassphraseRounds + 1), nullptr, 0);
  X509_ALGOR_copy(algorithm, many);
  X509_ALGOR_free(many);
  const std::string slow = DerOf(i2d_X509_SIG, sig);
  X509_SIG_free(sig);
  CHECK(Says(f.Fault(slow), {"the key in a.file asks for more than 10000000 rounds"}));
  CHECK(f.person.asked == 0);
}

TEST_CASE("pki: what cannot be read is said with the remedy") {
  Fixture f;
  CHECK(Says(f.Fault("no certificate"), {"a.file holds no certificate and no key", "PKCS#12"}));
  CHECK(Says(f.Fault(std::string("\x30\x03\x02\x01\x01", 5)), {"holds no certificate and no key"}));
  const std::string pem = Pem(f.leaf.get());
  CHECK(Says(f.Fault(pem.substr(0, pem.size() / 2)), {"PEM block 1 in a.file is damaged"}));
  CHECK(Says(f.Fault("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"),
             {"a certificate in a.file cannot be decoded", "copy it anew"}));
  CHECK(Says(f.Fault("-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n"),
             {"the key in a.file cannot be decoded"}));
  CHECK(Says(
      f.Fault("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"),
      {"a.file holds an SSH key"}));
  CHECK(Says(f.Fault("-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"), {"cannot be decoded"}));
  std::string many;
  for (size_t i = 0; i <= limits::kMaxImportedItems; ++i) {
    many += "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
  }
  CHECK(Says(f.Fault(many), {"holds more than 1000 certificates and keys"}));
  Material material;
  const Status missing = ReadMaterial("/nowhere/a.pem", f.person.Ask(), material);
  REQUIRE_FALSE(missing.has_value());
  CHECK(Says(missing.error().ToString(), {"file /nowhere/a.pem does not exist"}));
}

TEST_CASE("pki: the passphrase of a source is tried once, and its fault names the source") {
  const TemporaryDirectory directory;
  std::ofstream(directory / "pass") << "wrong\n";
  REQUIRE(::chmod((directory / "pass").c_str(), 0600) == 0);
  const KeyPtr key = MakeEcKey();
  Material material;
  const auto fault = [&](const PassphraseSource& source) {
    const Status done = DecodeMaterial(Octets(Pem(key.get(), "right")), "a.key",
                                       PassphraseFrom(source, "name one with X", false), material);
    REQUIRE_FALSE(done.has_value());
    return done.error().ToString();
  };
  const std::string path = directory / "pass";
  CHECK(Says(fault({PassphraseKind::kFile, path}),
             {"the passphrase of the key in a.key, from file:" + path + ", is wrong"}));
  CHECK(Says(fault({}),
             {"the key in a.key is encrypted, and no passphrase is known", "name one with X"}));
  std::ofstream(path) << "right\n";
  CHECK(DecodeMaterial(Octets(Pem(key.get(), "right")), "a.key",
                       PassphraseFrom({PassphraseKind::kFile, path}, ""), material)
            .has_value());
}

}  // namespace postern::pki
