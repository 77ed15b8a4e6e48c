#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <fstream>

#include "postern/pki/certificate.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/make_certificate.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

// Files is a directory with a certificate and a key in it, good ones to begin with.
struct Files {
  Files() : key(MakeEcKey()), certificate(MakeCertificate({}, key.get())) {
    Certificate(Pem(certificate.get()));
    Key(Pem(key.get()));
  }

  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(directory / name, std::ios::binary) << content;
    ::chmod((directory / name).c_str(), 0600);
  }
  void Certificate(const std::string& content) const { Write("a.crt", content); }
  void Key(const std::string& content) const { Write("a.key", content); }

  Result<Pair> Load() const { return LoadPair(directory / "a.crt", directory / "a.key"); }

  // The error, as the administrator reads it.
  std::string Fault() const {
    const Result<Pair> pair = Load();
    REQUIRE_FALSE(pair.has_value());
    CHECK_FALSE(pair.error().remedy.empty());
    return pair.error().ToString();
  }

  TemporaryDirectory directory;
  KeyPtr key;
  X509Ptr certificate;
};

std::string Der(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

std::string Der(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key, &der);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return text;
}

std::string Pkcs12(EVP_PKEY* key, X509* certificate) {
  PKCS12* container = PKCS12_create("secret", "mail", key, certificate, nullptr, 0, 0, 0, 0, 0);
  REQUIRE(container != nullptr);
  unsigned char* der = nullptr;
  const int size = i2d_PKCS12(container, &der);
  std::string text(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  PKCS12_free(container);
  return text;
}

std::string Request(EVP_PKEY* key) {
  X509_REQ* request = X509_REQ_new();
  X509_REQ_set_pubkey(request, key);
  REQUIRE(X509_REQ_sign(request, key, EVP_sha256()) > 0);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request);
  X509_REQ_free(request);
  return BioText(bio.get());
}

}  // namespace

TEST_CASE("pki: a matched pair loads, with what it is for") {
  Files files;
  const Result<Pair> pair = files.Load();
  REQUIRE(pair.has_value());
  CHECK(pair->names == std::vector<std::string>{"mail.example.com"});
  CHECK(pair->key_type == "EC P-256");
  CHECK(pair->chain_der.size() == 1);
  CHECK(pair->warnings.empty());
  const std::time_t now = std::time(nullptr);
  CHECK(pair->not_before <= now - 3599);
  CHECK(pair->not_after >= now + 86'400 * 89);

  // What is stored is usable as it is.
  const unsigned char* at = pair->key_der.get().data();
  const KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(pair->key_der.get().size())));
  REQUIRE(key != nullptr);
  CHECK(EVP_PKEY_eq(key.get(), files.key.get()) == 1);
  at = pair->chain_der[0].data();
  const X509Ptr leaf(d2i_X509(nullptr, &at, static_cast<long>(pair->chain_der[0].size())));
  CHECK(X509_cmp(leaf.get(), files.certificate.get()) == 0);
}

TEST_CASE("pki: every kind of key that TLS signs with is taken") {
  const auto type_of = [](KeyPtr key, const EVP_MD* digest) {
    Files files;
    CertificateSpec spec;
    spec.digest = digest;
    files.Certificate(Pem(MakeCertificate(spec, key.get()).get()));
    files.Key(Pem(key.get()));
    const Result<Pair> pair = files.Load();
    REQUIRE(pair.has_value());
    CHECK(pair->warnings.empty());
    return pair->key_type;
  };
  CHECK(type_of(MakeRsaKey(2048), EVP_sha256()) == "RSA 2048");
  CHECK(type_of(MakeEcKey("P-384"), EVP_sha384()) == "EC P-384");
  CHECK(type_of(MakeKey("ED25519"), nullptr) == "ED25519");
}

TEST_CASE("pki: old key forms and combined files are taken") {
  Files files;
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey_traditional(bio.get(), files.key.get(), nullptr, nullptr, 0, nullptr,
                                       nullptr);
  const std::string traditional = BioText(bio.get());
  REQUIRE(traditional.starts_with("-----BEGIN EC PRIVATE KEY-----"));
  files.Key(traditional);
  CHECK(files.Load().has_value());

  // One file for both, with words around the blocks, as `openssl pkcs12` writes it.
  const std::string combined = "Bag Attributes\n" + Pem(files.certificate.get()) +
                               "Key Attributes: <No Attributes>\n" + Pem(files.key.get());
  files.Certificate(combined);
  files.Key(combined);
  const Result<Pair> pair = files.Load();
  REQUIRE(pair.has_value());
  CHECK(pair->chain_der.size() == 1);

  // Line ends of another system.
  std::string windows;
  for (const char c : combined) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
  files.Certificate(windows);
  files.Key(windows);
  CHECK(files.Load().has_value());
}

TEST_CASE("pki: a chain is kept as it stands, leaf first") {
  Files files;
  const KeyPtr ca_key = MakeEcKey();
  CertificateSpec ca_spec;
  ca_spec.common_name = "Example CA";
  ca_spec.alternative_names.clear();
  const X509Ptr ca = MakeCertificate(ca_spec, ca_key.get());
  const X509Ptr leaf = MakeCertificate({}, files.key.get(), ca.get(), ca_key.get());
  files.Certificate(Pem(leaf.get()) + Pem(ca.get()));
  const Result<Pair> pair = files.Load();
  REQUIRE(pair.has_value());
  CHECK(pair->chain_der.size() == 2);
  CHECK(pair->periods.size() == 2);

  // A test's authority has no extensions and so may sign.
  files.Certificate(Pem(ca.get()) + Pem(leaf.get()));
  const Result<Pair> turned = files.Load();
  REQUIRE(turned.has_value());
  CHECK(turned->chain_der[0] == pair->chain_der[0]);
  CHECK(turned->names == std::vector<std::string>{"mail.example.com"});
  REQUIRE(turned->warnings.size() == 1);
  CHECK(Says(turned->warnings[0].ToString(), {"in another order than their chain"}));

  files.Certificate(Pem(leaf.get()) + Pem(ca.get()) + Pem(leaf.get()));
  CHECK(Says(files.Fault(), {"twice, as certificate 1 and 3", "delete the second copy"}));

  std::string many = Pem(leaf.get());
  for (size_t i = 0; i < kMaxChain; ++i) many += Pem(ca.get());
  files.Certificate(many);
  CHECK(Says(files.Fault(), {"holds 33 certificates, more than 32"}));
}

TEST_CASE("pki: a chain beside the certificate is taken as far as it belongs to it") {
  Files files;
  const auto authority = [](const char* name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
    CertificateSpec spec;
    spec.common_name = name;
    spec.alternative_names.clear();
    return MakeCertificate(spec, key, issuer, issuer_key);
  };
  const KeyPtr root_key = MakeEcKey();
  const KeyPtr one_key = MakeEcKey();
  const KeyPtr two_key = MakeEcKey();
  const X509Ptr root = authority("Root", root_key.get(), nullptr, nullptr);
  const X509Ptr one = authority("One", one_key.get(), root.get(), root_key.get());
  const X509Ptr two = authority("Two", two_key.get(), one.get(), one_key.get());
  const X509Ptr leaf = MakeCertificate({}, files.key.get(), two.get(), two_key.get());
  const X509Ptr foreign = MakeCertificate({}, MakeEcKey().get());
  files.Certificate(Pem(leaf.get()));
  const PairFiles where{.certificate = files.directory / "a.crt",
                        .key = files.directory / "a.key",
                        .chain = files.directory / "a.chain"};
  const auto load = [&](const std::string& chain) {
    files.Write("a.chain", chain);
    return LoadPair(where);
  };
  // In order, with the leaf among them or not.
  for (const std::string& chain :
       {Pem(two.get()) + Pem(one.get()), Pem(leaf.get()) + Pem(two.get()) + Pem(one.get())}) {
    const Result<Pair> pair = load(chain);
    REQUIRE(pair.has_value());
    CHECK(pair->chain_der.size() == 3);
    CHECK(pair->warnings.empty());
    CHECK(pair->chain_stamp.size == static_cast<int64_t>(chain.size()));
  }
  // Of another certificate, as after a renewal by another authority.
  const Result<Pair> other = load(Pem(foreign.get()));
  REQUIRE(other.has_value());
  CHECK(other->chain_der.size() == 1);
  REQUIRE(other->warnings.size() == 1);
  CHECK(
      Says(other->warnings[0].ToString(), {"1 of the certificates in ", "a.chain is no part of"}));
  // In no order.
  const Result<Pair> turned = load(Pem(one.get()) + Pem(two.get()));
  REQUIRE(turned.has_value());
  CHECK(turned->chain_der == load(Pem(two.get()) + Pem(one.get()))->chain_der);
  CHECK(turned->warnings.size() == 1);
  const Result<Pair> broken = load("nothing");
  REQUIRE_FALSE(broken.has_value());
  CHECK(Says(broken.error().ToString(), {"a.chain holds no PEM block"}));
}

TEST_CASE("pki: an encrypted key is opened with the passphrase of its source") {
  Files files;
  files.Key(Pem(files.key.get(), "pass word"));
  files.Write("pass", "pass word\n");
  PairFiles where{
      .certificate = files.directory / "a.crt", .key = files.directory / "a.key", .chain = {}};
  where.passphrase = {PassphraseKind::kFile, files.directory / "pass"};
  const Result<Pair> pair = LoadPair(where);
  REQUIRE(pair.has_value());
  const unsigned char* at = pair->key_der.get().data();
  const KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(pair->key_der.get().size())));
  CHECK(EVP_PKEY_eq(key.get(), files.key.get()) == 1);
  files.Write("pass", "wrong\n");
  Result<Pair> refused = LoadPair(where);
  REQUIRE_FALSE(refused.has_value());
  CHECK(Says(refused.error().ToString(), {"the passphrase of the private key in ", "is wrong"}));
  CHECK(ERR_peek_error() == 0);
  where.passphrase = {PassphraseKind::kAsk, {}};
  refused = LoadPair(where);
  REQUIRE_FALSE(refused.has_value());
  CHECK(Says(refused.error().ToString(), {"asked for on a terminal, at a start alone"}));
  // A passphrase that is not needed is not read.
  files.Key(Pem(files.key.get()));
  CHECK(LoadPair(where).has_value());
}

TEST_CASE("pki: host names come from the certificate, in lower case, and nothing else does") {
  const auto names = [](const std::string& common_name, const std::string& alternatives) {
    Files files;
    CertificateSpec spec;
    spec.common_name = common_name;
    spec.alternative_names = alternatives;
    files.Certificate(Pem(MakeCertificate(spec, files.key.get()).get()));
    const Result<Pair> pair = files.Load();
    REQUIRE(pair.has_value());
    return pair->names;
  };
  using Names = std::vector<std::string>;
  CHECK(names("x", "DNS:IMAP.Example.COM,DNS:*.Example.com,DNS:imap.example.com,IP:192.0.2.1") ==
        Names{"imap.example.com", "*.example.com"});
  CHECK(names("Mail.Example.net", "") == Names{"mail.example.net"});
  // RFC 6125 section 6.4.4: with a dNSName, the CN does not count.
  CHECK(names("cn.example.net", "DNS:san.example.net") == Names{"san.example.net"});
  CHECK(names("cn.example.net", "IP:192.0.2.1") == Names{"cn.example.net"});
  CHECK(names("Example Company", "") == Names{});
  CHECK(names("", "") == Names{});
  CHECK(names("x", "DNS:f*.example.com,DNS:a.*.example.com,DNS:*,DNS:a b,DNS:ok.example.com.") ==
        Names{"ok.example.com"});
}

TEST_CASE("pki: what is wrong with a file is said, with the file and the remedy") {
  Files files;
  const std::string crt = files.directory / "a.crt";
  const std::string key = files.directory / "a.key";

  SECTION("missing") {
    ::unlink(crt.c_str());
    CHECK(Says(files.Fault(), {"certificate file " + crt + " does not exist"}));
    files.Certificate(Pem(files.certificate.get()));
    ::unlink(key.c_str());
    CHECK(Says(files.Fault(), {"key file " + key + " does not exist"}));
    REQUIRE(::symlink("nowhere", key.c_str()) == 0);
    CHECK(Says(files.Fault(), {key + " is a symbolic link to a file that does not exist"}));
  }
  SECTION("unreadable") {
    // Root may read anything, so a test that is root becomes somebody else for a moment.
    const bool root = ::geteuid() == 0;
    ::chmod(crt.c_str(), 0);
    ::chmod(files.directory.path().c_str(), 0755);
    if (root) REQUIRE(::seteuid(65534) == 0);
    const std::string fault = files.Fault();
    if (root) REQUIRE(::seteuid(0) == 0);
    CHECK(Says(fault, {"cannot read certificate file " + crt, "Permission denied"}));
  }
  SECTION("no regular file") {
    ::unlink(crt.c_str());
    REQUIRE(::mkdir(crt.c_str(), 0700) == 0);
    CHECK(Says(files.Fault(), {crt + " is a directory, not a file"}));
    ::unlink(key.c_str());
    ::rmdir(crt.c_str());
    files.Certificate(Pem(files.certificate.get()));
    REQUIRE(::mkfifo(key.c_str(), 0600) == 0);  // must not hang
    CHECK(Says(files.Fault(), {key + " is a device or pipe"}));
  }
  SECTION("empty") {
    files.Certificate("");
    CHECK(Says(files.Fault(), {"certificate file " + crt + " is empty"}));
    files.Certificate(Pem(files.certificate.get()));
    files.Key("");
    CHECK(Says(files.Fault(), {"key file " + key + " is empty"}));
  }
  SECTION("too large") {
    files.Certificate(std::string(kMaxPemFile + 1, 'x'));
    CHECK(Says(files.Fault(), {crt + " is larger than 1024 KB"}));
  }
  SECTION("garbage") {
    files.Certificate("this is no certificate\n");
    CHECK(Says(files.Fault(), {crt + " holds no PEM block", "-----BEGIN CERTIFICATE-----"}));
    files.Certificate(std::string("\x30\x82\xff\xff", 4) + "garbage");
    CHECK(Says(files.Fault(), {crt + " holds no PEM block"}));
    files.Certificate(Pem(files.certificate.get()));
    files.Key(std::string(100, '\0'));
    CHECK(Says(files.Fault(), {key + " holds no PEM block", "-----BEGIN PRIVATE KEY-----"}));
  }
  SECTION("cut off or altered") {
    const std::string pem = Pem(files.certificate.get());
    files.Certificate(pem.substr(0, pem.size() / 2));
    CHECK(Says(files.Fault(), {"PEM block 1 in certificate file " + crt + " is damaged"}));
    std::string altered = pem;
    altered[40] = '!';
    files.Certificate(altered);
    CHECK(Says(files.Fault(), {"PEM block 1 in certificate file " + crt + " is damaged"}));
    files.Certificate("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n");
    CHECK(Says(files.Fault(), {"the certificate in " + crt + " cannot be decoded"}));
    files.Certificate(pem);
    files.Key("-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----\n");
    CHECK(Says(files.Fault(), {"the private key in " + key + " cannot be decoded"}));
  }
  SECTION("exchanged") {
    files.Certificate(Pem(files.key.get()));
    CHECK(Says(files.Fault(), {"certificate file " + crt + " holds a private key",
                               "were certificate and key exchanged?"}));
    files.Certificate(Pem(files.certificate.get()));
    files.Key(Pem(files.certificate.get()));
    CHECK(Says(files.Fault(), {"key file " + key + " holds a certificate, no private key",
                               "were certificate and key exchanged?"}));
  }
  SECTION("a certificate request") {
    files.Certificate(Request(files.key.get()));
    CHECK(Says(files.Fault(), {crt + " holds a certificate request, no certificate"}));
  }
  SECTION("DER and containers") {
    files.Certificate(Der(files.certificate.get()));
    CHECK(
        Says(files.Fault(), {"a certificate in DER form", "openssl x509 -inform DER -in " + crt}));
    files.Certificate(Pkcs12(files.key.get(), files.certificate.get()));
    CHECK(Says(files.Fault(), {"a PKCS#12 container", "openssl pkcs12 -in " + crt + " -nokeys"}));
    files.Certificate(Pem(files.certificate.get()));
    files.Key(Der(files.key.get()));
    CHECK(
        Says(files.Fault(), {"a private key in DER form", "openssl pkey -inform DER -in " + key}));
    files.Key(Pkcs12(files.key.get(), files.certificate.get()));
    CHECK(Says(files.Fault(), {"a PKCS#12 container", "-nocerts -nodes"}));
  }
  SECTION("an encrypted key, in either form") {
    files.Key(Pem(files.key.get(), "secret"));
    CHECK(Says(files.Fault(), {"the private key in " + key + " is encrypted",
                               "passphrase = \"file:PATH\"", "openssl pkey -in " + key}));
    const BioPtr bio(BIO_new(BIO_s_mem()));
    char passphrase[] = "secret";
    PEM_write_bio_PrivateKey_traditional(bio.get(), files.key.get(), EVP_aes_128_cbc(),
                                         reinterpret_cast<unsigned char*>(passphrase), 6, nullptr,
                                         nullptr);
    files.Key(BioText(bio.get()));
    CHECK(Says(files.Fault(), {"is encrypted", "openssl pkey -in " + key}));
  }
  SECTION("a key of another certificate") {
    files.Key(Pem(MakeRsaKey(2048).get()));
    CHECK(
        Says(files.Fault(), {key + " (RSA 2048, fingerprint ", "does not belong to the certificate",
                             crt + " (CN=mail.example.com, which is for a key EC P-256",
                             "name the key that the certificate was made for"}));
    files.Key(Pem(MakeEcKey().get()));
    CHECK(Says(files.Fault(), {key + " (EC P-256, fingerprint "}));
  }
  SECTION("several keys, an SSH key, a key that cannot sign") {
    files.Key(Pem(files.key.get()) + Pem(MakeEcKey().get()));
    CHECK(Says(files.Fault(), {key + " holds 2 private keys"}));
    files.Key(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n");
    CHECK(Says(files.Fault(), {key + " holds an SSH key"}));
    files.Key(Pem(MakeKey("X25519").get()));
    CHECK(Says(files.Fault(), {"the X25519 key in " + key + " cannot serve TLS"}));
  }
}

TEST_CASE("pki: what some clients will refuse is served with a warning") {
  Files files;
  const std::string crt = files.directory / "a.crt";
  const auto warnings = [&](const CertificateSpec& spec) {
    files.Certificate(Pem(MakeCertificate(spec, files.key.get()).get()));
    const Result<Pair> pair = files.Load();
    REQUIRE(pair.has_value());
    std::string text;
    for (const Error& warning : pair->warnings) text += warning.ToString() + "\n";
    return text;
  };
  CertificateSpec spec;
  spec.not_before = -86'400 * 3;
  spec.not_after = -86'400;
  CHECK(Says(warnings(spec), {"the certificate in " + crt + " expired at 20", "renew it"}));
  spec = {};
  spec.not_before = 86'400;
  CHECK(Says(warnings(spec), {"is not valid before 20", "clock"}));

  // A signature counts where somebody verifies it, which is not on a self-signed certificate.
  spec = {};
  spec.digest = EVP_sha1();
  CHECK(warnings(spec).empty());
}

TEST_CASE("pki: what nobody can be served with is refused, wherever in the chain it is") {
  struct Row {
    const char* what;
    KeyPtr leaf_key;
    const EVP_MD* leaf_digest;
    KeyPtr inter_key;
    const EVP_MD* inter_digest;
    std::vector<std::string> said;  // none: it can be
  };
  const auto ec = [] { return MakeEcKey(); };
  const EVP_MD* sha256 = EVP_sha256();
  std::vector<Row> rows;
  const auto row = [&](const char* what, KeyPtr leaf_key, const EVP_MD* leaf_digest,
                       KeyPtr inter_key, const EVP_MD* inter_digest,
                       std::vector<std::string> said) {
    rows.push_back(
        {what, std::move(leaf_key), leaf_digest, std::move(inter_key), inter_digest, said});
  };
  row("all is well", ec(), sha256, ec(), sha256, {});
  row("RSA of 2048 bits", MakeRsaKey(2048), sha256, MakeRsaKey(2048), sha256, {});
  row("P-384", MakeEcKey("P-384"), sha256, ec(), sha256, {});
  row("P-521", MakeEcKey("P-521"), sha256, ec(), sha256, {});
  row("SHA-224, which OpenSSL's level 2 takes", ec(), EVP_sha224(), ec(), sha256, {});
  row("a short key", MakeRsaKey(1024), sha256, ec(), sha256,
      {"the key of certificate 1 of 3 in ", "is only RSA 1024", "RSA 2048 and more"});
  row("a curve that is not TLS's", MakeEcKey("secp256k1"), sha256, ec(), sha256,
      {"the key of certificate 1 of 3 in ", "is EC secp256k1, a curve that clients do not offer",
       "EC P-256"});
  row("a short curve", MakeEcKey("P-192"), sha256, ec(), sha256, {"is only EC P-192"});
  row("SHA-1", ec(), EVP_sha1(), ec(), sha256,
      {"certificate 1 of 3 in ", "(CN=mail.example.com) is signed with SHA-1", "SHA-256"});
  row("MD5", ec(), EVP_md5(), MakeRsaKey(2048), sha256, {"is signed with MD5"});
  row("an intermediate's short key", ec(), sha256, MakeRsaKey(1024), sha256,
      {"the key of certificate 2 of 3 in ", "(CN=Inter) is only RSA 1024", "ask the authority"});
  row("an intermediate with SHA-1", ec(), sha256, ec(), EVP_sha1(),
      {"certificate 2 of 3 in ", "(CN=Inter) is signed with SHA-1", "ask the authority"});

  const KeyPtr root_key = MakeEcKey();
  CertificateSpec root_spec;
  root_spec.common_name = "Root";
  root_spec.digest = EVP_sha1();  // its own signature is nobody's business
  const X509Ptr root = MakeCertificate(root_spec, root_key.get());
  for (const Row& each : rows) {
    INFO(each.what);
    Files files;
    CertificateSpec inter_spec;
    inter_spec.common_name = "Inter";
    inter_spec.digest = each.inter_digest;
    const X509Ptr inter =
        MakeCertificate(inter_spec, each.inter_key.get(), root.get(), root_key.get());
    CertificateSpec spec;
    spec.digest = each.leaf_digest;
    const X509Ptr leaf =
        MakeCertificate(spec, each.leaf_key.get(), inter.get(), each.inter_key.get());
    files.Certificate(Pem(leaf.get()) + Pem(inter.get()) + Pem(root.get()));
    files.Key(Pem(each.leaf_key.get()));
    if (each.said.empty()) {
      CHECK(files.Load().has_value());
    } else {
      const std::string fault = files.Fault();
      for (const std::string& phrase : each.said) CHECK(Says(fault, {phrase}));
    }
  }
}

TEST_CASE("pki: a root with a short key can be left out of what is sent") {
  Files files;
  const KeyPtr root_key = MakeRsaKey(1024);
  CertificateSpec root_spec;
  root_spec.common_name = "Root";
  const X509Ptr root = MakeCertificate(root_spec, root_key.get());
  const X509Ptr leaf = MakeCertificate({}, files.key.get(), root.get(), root_key.get());
  files.Certificate(Pem(leaf.get()) + Pem(root.get()));
  CHECK(Says(files.Fault(),
             {"certificate 2 of 2 in ", "(CN=Root) is only RSA 1024", "leave this root out"}));
  files.Certificate(Pem(leaf.get()));
  CHECK(files.Load().has_value());
}

TEST_CASE("pki: a key file that others may read or change is refused") {
  Files files;
  const std::string key = files.directory / "a.key";
  for (const mode_t mode : {0600, 0640, 0400, 0440}) {
    REQUIRE(::chmod(key.c_str(), mode) == 0);
    REQUIRE(files.Load().has_value());
    CHECK(files.Load()->warnings.empty());
  }
  for (const mode_t mode : {0644, 0660, 0604, 0602}) {
    REQUIRE(::chmod(key.c_str(), mode) == 0);
    CHECK(Says(files.Fault(), {key + " is open to others (mode 06", "chmod 600 " + key}));
  }
  // In the certificate directory the group may not read it either.
  PairFiles stored{.certificate = files.directory / "a.crt", .key = key, .chain = {}};
  stored.place = KeyPlace::kStore;
  REQUIRE(::chmod(key.c_str(), 0640) == 0);
  REQUIRE_FALSE(LoadPair(stored).has_value());
  CHECK(Says(LoadPair(stored).error().ToString(), {"(mode 0640)", "chmod 600 " + key}));
  REQUIRE(::chmod(key.c_str(), 0400) == 0);
  CHECK(LoadPair(stored).has_value());
}

TEST_CASE("pki: a pair that is kept expires all the same") {
  const std::vector<Period> periods = {{100, 200}, {100, 1000}};
  CHECK(PeriodWarnings("a.crt", periods, 150).empty());
  CHECK(PeriodWarnings("a.crt", periods, 200).empty());  // RFC 5280 section 4.1.2.5: inclusive
  REQUIRE(PeriodWarnings("a.crt", periods, 201).size() == 1);
  CHECK(PeriodWarnings("a.crt", periods, 201)[0].what ==
        "certificate 1 of 2 in a.crt expired at 1970-01-01 00:03 UTC");
  CHECK(PeriodWarnings("a.crt", periods, 2000).size() == 2);
  CHECK(PeriodWarnings("a.crt", periods, 99).size() == 2);
}

TEST_CASE("load pair: a name that is not in ASCII is warned of, and serves nobody", "[pki]") {
  const Files files;
  CertificateSpec spec;
  spec.alternative_names = "DNS:mail.example.com,DNS:m\xC3\xBCller.example";
  files.Certificate(Pem(MakeCertificate(spec, files.key.get()).get()));
  const Result<Pair> pair = files.Load();
  REQUIRE(pair.has_value());
  CHECK(pair->names == std::vector<std::string>{"mail.example.com"});
  REQUIRE(pair->warnings.size() == 1);
  CHECK(Says(pair->warnings[0].ToString(),
             {"m\xC3\xBCller.example", "not in its ASCII form", "xn--"}));
}

}  // namespace postern::pki
