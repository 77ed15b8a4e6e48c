#include "pki/strict_pem.h"

#include <openssl/pem.h>

#include <string>
#include <vector>

#include "pki/pem_file.h"
#include "tests/unit/catch.h"
#include "tests/unit/pki/make_certificate.h"

namespace postern::pki {
namespace {

std::string Block(const std::vector<unsigned char>& octets) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), "TEST", "", octets.data(), static_cast<long>(octets.size()));
  return BioText(bio.get());
}

SecretBytes Secret(const std::string& text) {
  return SecretBytes(std::vector<unsigned char>(text.begin(), text.end()));
}

}  // namespace

TEST_CASE("strict PEM: blocks of every length are what OpenSSL reads", "[pki][plain]") {
  std::vector<unsigned char> octets;
  for (unsigned i = 1; i <= 300; ++i) {
    octets.push_back(static_cast<unsigned char>(i * 89));
    const std::string text = Block(octets);
    const std::string twice = text + text;  // labels are views of it
    const auto blocks = ReadStrictPem(twice);
    REQUIRE(blocks);
    REQUIRE(blocks->size() == 2);
    CHECK(blocks->back().label == "TEST");
    CHECK(blocks->back().der.get() == octets);
    const auto split = SplitPem(Secret(text), "a");
    REQUIRE(split);
    CHECK(split->front().der.get() == octets);
  }
}

TEST_CASE("strict PEM: anything else is left to OpenSSL", "[pki][plain]") {
  const std::string good = "-----BEGIN A-----\nAAECAw==\n-----END A-----\n";
  REQUIRE(ReadStrictPem(good));
  CHECK(ReadStrictPem(good)->front().der.get() == std::vector<unsigned char>{0, 1, 2, 3});
  CHECK(ReadStrictPem("")->empty());
  const std::string line(64, 'A');
  CHECK(ReadStrictPem("-----BEGIN A-----\n" + line + "\n-----END A-----\n"));
  for (const std::string& odd : {
           "\n" + good,
           good + "\n",
           "text\n" + good,
           good.substr(0, good.size() - 1),
           std::string("-----BEGIN A-----\r\nAAECAw==\r\n-----END A-----\r\n"),
           std::string("-----BEGIN A-----\nAAECAw==\n-----END B-----\n"),
           std::string("-----BEGIN A-----\nAAECAw=\n-----END A-----\n"),
           std::string("-----BEGIN A-----\nAAECA===\n-----END A-----\n"),
           std::string("-----BEGIN A-----\nAAECAx==\n-----END A-----\n"),  // bits left over
           std::string("-----BEGIN A-----\nAA==AAEC\n-----END A-----\n"),
           std::string("-----BEGIN A-----\nAAE*AwAA\n-----END A-----\n"),
           std::string("-----BEGIN A-----\nAAEC\nAwAA\n-----END A-----\n"),  // short, not the last
           std::string("-----BEGIN A-----\nAAEC\n\n-----END A-----\n"),
           std::string("-----BEGIN A-----\n\n-----END A-----\n"),
           std::string("-----BEGIN A-----\n-----END A-----\n"),
           std::string("-----BEGIN -----\nAAEC\n-----END -----\n"),
           std::string("-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAEC\n-----END A-----\n"),
           "-----BEGIN A-----\n" + line + "AAAA\n-----END A-----\n",
           std::string("-----BEGIN A-----\nAAEC"),
           std::string("-----BEGIN A-----\n"),
       }) {
    INFO(odd);
    CHECK_FALSE(ReadStrictPem(odd));
  }
}

}  // namespace postern::pki
