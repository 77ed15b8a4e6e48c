#include "postern/pki/plain_pair.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "pki/plain_key.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

// A directory with a pair, and a chain of an authority and one of its intermediates.
struct Place {
  explicit Place(KeyPtr leaf_key = MakeEcKey()) : key(std::move(leaf_key)) {
    root = MakeCertificate({.common_name = "Root", .alternative_names = {}}, root_key.get());
    middle = MakeCertificate({.common_name = "Middle", .alternative_names = {}}, middle_key.get(),
                             root.get(), root_key.get());
    leaf = MakeCertificate({}, key.get(), middle.get(), middle_key.get());
    Certificate(Pem(leaf.get()) + Pem(middle.get()));
    Key(Pem(key.get()));
  }

  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(directory / name, std::ios::binary) << content;
    ::chmod((directory / name).c_str(), 0600);
  }
  void Certificate(const std::string& content) const { Write("a.crt", content); }
  void Key(const std::string& content) const { Write("a.key", content); }
  PairFiles files() const {
    return {.certificate = directory / "a.crt", .key = directory / "a.key", .chain = chain};
  }
  std::optional<Pair> Plain() {
    auto pair = LoadPlainPair(files(), known);
    CHECK(OpenSslErrors().empty());
    return pair;
  }

  TemporaryDirectory directory;
  std::string chain;
  KeyPtr key;
  KeyPtr root_key = MakeEcKey();
  KeyPtr middle_key = MakeEcKey();
  X509Ptr root;
  X509Ptr middle;
  X509Ptr leaf;
  KnownCertificates known;
};

std::string Traditional(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey_traditional(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return BioText(bio.get());
}

std::vector<std::string> Whats(const std::vector<Error>& errors) {
  std::vector<std::string> whats;
  for (const Error& error : errors) whats.push_back(error.ToString());
  return whats;
}

void CheckSame(const Pair& a, const Pair& b) {
  CHECK(a.chain_der == b.chain_der);
  CHECK(a.key_der.get() == b.key_der.get());
  CHECK(a.names == b.names);
  CHECK(a.not_before == b.not_before);
  CHECK(a.not_after == b.not_after);
  CHECK(a.periods.size() == b.periods.size());
  CHECK(a.key_type == b.key_type);
  CHECK(a.key_kind == b.key_kind);
  CHECK(a.schemes == b.schemes);
  CHECK(a.must_staple == b.must_staple);
  CHECK(Whats(a.weaknesses) == Whats(b.weaknesses));
  CHECK(Whats(a.warnings) == Whats(b.warnings));
  CHECK(a.certificate_stamp.inode == b.certificate_stamp.inode);
  CHECK(a.key_stamp.inode == b.key_stamp.inode);
  CHECK(a.chain_stamp.inode == b.chain_stamp.inode);
}

// A key with the private half of `key` and the public half of another.
std::string Lying(EVP_PKEY* key, EVP_PKEY* other) {
  std::vector<unsigned char> der = EncodePkcs8(key).get();
  const std::vector<unsigned char> lie = EncodePkcs8(other).get();
  std::copy(lie.end() - 65, lie.end(), der.end() - 65);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), "PRIVATE KEY", "", der.data(), static_cast<long>(der.size()));
  return BioText(bio.get());
}

}  // namespace

TEST_CASE("plain pair: it is what LoadPair makes of the same files", "[pki][plain]") {
  for (const char* kind : {"P-256", "P-384", "P-521", "RSA"}) {
    INFO(kind);
    Place place(kind == std::string("RSA") ? MakeRsaKey(2048) : MakeEcKey(kind));
    for (const std::string& text : {Pem(place.key.get()), Traditional(place.key.get())}) {
      place.Key(text);
      const auto plain = place.Plain();
      REQUIRE(plain);
      const Result<Pair> pair = LoadPair(place.files());
      REQUIRE(pair);
      CheckSame(*plain, *pair);
    }
  }
}

TEST_CASE("plain pair: with its chain in a file of its own", "[pki][plain]") {
  Place place;
  place.Certificate(Pem(place.leaf.get()));
  place.Write("a.chain", Pem(place.middle.get()) + Pem(place.root.get()));
  place.chain = place.directory / "a.chain";
  const auto plain = place.Plain();
  REQUIRE(plain);
  CHECK(plain->chain_der.size() == 3);
  CheckSame(*plain, *LoadPair(place.files()));
}

TEST_CASE("plain pair: one that expired has the same warning", "[pki][plain]") {
  Place place;
  place.leaf = MakeCertificate({.not_before = -7200, .not_after = -3600}, place.key.get());
  place.Certificate(Pem(place.leaf.get()));
  const auto plain = place.Plain();
  REQUIRE(plain);
  CHECK(plain->warnings.size() == 1);
  CheckSame(*plain, *LoadPair(place.files()));
}

TEST_CASE("plain pair: a key that is not the certificate's is never taken", "[pki][plain]") {
  Place place;
  const KeyPtr other = MakeEcKey();
  place.Key(Pem(other.get()));
  CHECK_FALSE(place.Plain());
  // Nor one that says that it is: with the point of the certificate, or with a scalar that fits it
  // and a point that does not.
  place.Key(Lying(other.get(), place.key.get()));
  CHECK_FALSE(place.Plain());
  const Result<Pair> pair = LoadPair(place.files());
  REQUIRE_FALSE(pair);
  CHECK(pair.error().what.contains("is damaged: it says of itself"));
  place.Key(Lying(place.key.get(), other.get()));
  CHECK_FALSE(place.Plain());
  CHECK_FALSE(LoadPair(place.files()));
}

TEST_CASE("plain pair: an RSA key whose factors are another's is refused", "[pki][plain]") {
  const KeyPtr key = MakeRsaKey(2048);
  const KeyPtr other = MakeRsaKey(2048);
  CHECK(KeyFitsItself(key.get()));
  Place place(MakeRsaKey(2048));
  // RSAPrivateKey: the modulus begins at octet 12, behind headers, version and its own sign octet.
  std::vector<unsigned char> der(4096);
  unsigned char* at = der.data();
  der.resize(static_cast<size_t>(i2d_PrivateKey(other.get(), &at)));
  std::vector<unsigned char> mine(4096);
  at = mine.data();
  mine.resize(static_cast<size_t>(i2d_PrivateKey(place.key.get(), &at)));
  REQUIRE(der[7] == 0x02);
  REQUIRE(der[8] == 0x82);
  std::copy(mine.begin() + 12, mine.begin() + 12 + 256, der.begin() + 12);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), "RSA PRIVATE KEY", "", der.data(), static_cast<long>(der.size()));
  place.Key(BioText(bio.get()));
  CHECK_FALSE(place.Plain());
  const Result<Pair> pair = LoadPair(place.files());
  REQUIRE_FALSE(pair);
  CHECK(pair.error().what.contains("is damaged: it says of itself"));
}

TEST_CASE("plain pair: what there is something to say of goes the long way", "[pki][plain]") {
  Place place;
  REQUIRE(place.Plain());
  const std::string leaf = Pem(place.leaf.get());
  const std::string middle = Pem(place.middle.get());
  const std::string key = Pem(place.key.get());

  place.Certificate(middle + leaf);  // out of order
  CHECK_FALSE(place.Plain());
  place.Certificate(leaf + Pem(place.root.get()));  // a gap
  CHECK_FALSE(place.Plain());
  place.Certificate(leaf + middle + middle);
  CHECK_FALSE(place.Plain());
  place.Certificate(leaf + key);
  CHECK_FALSE(place.Plain());
  place.Certificate("");
  CHECK_FALSE(place.Plain());
  place.Certificate(leaf + middle);
  REQUIRE(place.Plain());

  place.Key(key + key);
  CHECK_FALSE(place.Plain());
  place.Key(Pem(place.key.get(), "secret"));
  CHECK_FALSE(place.Plain());
  place.Key(Pem(MakeKey("ED25519").get()));
  CHECK_FALSE(place.Plain());
  place.Key(key);
  ::chmod((place.directory / "a.key").c_str(), 0644);
  CHECK_FALSE(place.Plain());
  ::unlink((place.directory / "a.key").c_str());
  CHECK_FALSE(place.Plain());
}

TEST_CASE("plain pair: an intermediate whose key OpenSSL cannot decode is not taken",
          "[pki][plain]") {
  Place place;
  unsigned char* octets = nullptr;
  const int size = i2d_X509(place.middle.get(), &octets);
  std::vector<unsigned char> der(octets, octets + size);
  OPENSSL_free(octets);
  // Its point, moved off the curve.
  unsigned char* point = nullptr;
  const int point_size = i2d_PublicKey(place.middle_key.get(), &point);
  const auto at = std::search(der.begin(), der.end(), point, point + point_size);
  OPENSSL_free(point);
  REQUIRE(at != der.end());
  at[10] ^= 0x01;
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), "CERTIFICATE", "", der.data(), static_cast<long>(der.size()));
  place.Certificate(Pem(place.leaf.get()) + BioText(bio.get()));
  CHECK_FALSE(place.Plain());
  CHECK_FALSE(LoadPair(place.files()));
}

}  // namespace postern::pki
