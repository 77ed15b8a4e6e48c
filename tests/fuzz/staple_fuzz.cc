// Fuzzing of OCSP responses from files, and of the certificates that they are checked against. A
// timer fetches them from strangers' servers; what is wrong with one must never be stapled.
//
// An input is leaf and issuer, each behind its length (2 octets, the high one first), then the
// response.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "postern/base/check.h"
#include "postern/pki/certificate.h"
#include "postern/pki/staple.h"

namespace {

// A fixed time, so that a corpus means the same next year.
constexpr int64_t kNow = 1'800'000'000;

std::span<const uint8_t> TakePart(std::span<const uint8_t>& rest) {
  if (rest.size() < 2) return {};
  const size_t said = static_cast<size_t>(rest[0]) << 8 | rest[1];
  rest = rest.subspan(2);
  const std::span<const uint8_t> part = rest.first(std::min(said, rest.size()));
  rest = rest.subspan(part.size());
  return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> rest(data, size);
  std::vector<postern::Bytes> chain;
  for (int i = 0; i < 2; ++i) {
    const std::span<const uint8_t> part = TakePart(rest);
    if (!part.empty()) chain.push_back(std::as_bytes(part));
  }
  const std::vector<unsigned char> octets(rest.begin(), rest.end());
  const auto staple = postern::pki::DecodeStaple(octets, "mail.ocsp", chain, kNow);
  // OpenSSL's queue must be empty afterwards, or the next caller takes our errors for its own.
  POSTERN_CHECK(postern::pki::OpenSslErrors().empty());
  if (!staple.has_value()) {
    POSTERN_CHECK(staple.error().what.contains("mail.ocsp") && !staple.error().remedy.empty());
    return 0;
  }
  POSTERN_CHECK(!staple->response.empty() && staple->good_until > kNow);
  POSTERN_CHECK(staple->response.front() == 0x30);  // DER, whatever the file was
  return 0;
}
