// Fuzzing of the name index: its reader on images that may hold anything, over one segment of
// certificates and one of keys, with hosts from the input; and its builder together with the
// reader, on names from the input.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "generation/index_image.h"
#include "pki/names.h"
#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/generation/certificate_index.h"
#include "tests/fuzz/resealed.h"

using namespace postern::generation;

namespace {

constexpr std::array<std::string_view, 6> kHosts = {
    "mail.example.com", "MAIL.example.com.", "a.example.org", "example.org", "", "*.example.org"};
constexpr size_t kMostNames = 64;
constexpr size_t kLongestHost = 300;  // some beyond limits::kMaxHostName

std::vector<std::byte> SegmentImage(PartKind kind, PartId id, size_t size) {
  std::vector<std::byte> image(size);
  PartHeader header;
  header.magic = Magic(kind);
  header.version = kLayoutVersion;
  header.size = size;
  header.id = id;
  std::memcpy(image.data(), &header, sizeof header);
  return image;
}

SegmentPtr MapSegment(PartKind kind, PartId id, int fd) {
  const auto segment = Segment::Map(id, kind, fd);
  POSTERN_CHECK(segment.has_value());
  return *segment;
}

// Ids and kinds as in the corpus.
const std::map<PartId, SegmentPtr>& Segments() {
  static const auto certificates =
      postern::os::MakeSealed("fuzz", SegmentImage(PartKind::kCertificates, 1, 4096));
  static const auto keys = postern::os::MakeSecret("fuzz", SegmentImage(PartKind::kKeys, 2, 1024));
  POSTERN_CHECK(certificates.has_value() && keys.has_value());
  static const std::map<PartId, SegmentPtr> segments = {
      {1, MapSegment(PartKind::kCertificates, 1, certificates->get())},
      {2, MapSegment(PartKind::kKeys, 2, keys->fd.get())}};
  return segments;
}

std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The input's last octets are a host to look up, too.
std::string_view HostIn(const uint8_t* data, size_t size) {
  const size_t length = std::min(size, kLongestHost);
  return Text(data + size - length, length);
}

// What certificates have as names: lower case, and only hosts' names.
std::vector<std::string> NamesIn(const uint8_t* data, size_t size) {
  std::vector<std::string> names;
  for (std::string_view rest = Text(data, size); !rest.empty() && names.size() < kMostNames;) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    postern::pki::AddHostName(names, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return names;
}

// A host that the name stands for: itself, or with a label in the place of the asterisk.
std::string HostFor(const std::string& name) {
  return name.starts_with("*.") ? "some-label" + name.substr(1) : name;
}

bool Has(const Choices& choices, uint32_t certificate) {
  return std::ranges::find(choices, certificate) != choices.end();
}

// What is written is found: each name leads to the first certificate that has it, or another one to
// the host whose own name it is.
void CheckRoundTrip(const uint8_t* data, size_t size) {
  constexpr uint64_t kBegin = sizeof(PartHeader);
  const std::vector<std::string> names = NamesIn(data, size);
  IndexInput input;
  input.segments = {{1, static_cast<uint32_t>(PartKind::kCertificates)},
                    {2, static_cast<uint32_t>(PartKind::kKeys)}};
  // Three certificates, the last of another family of keys; the middle one shares each third name.
  for (uint32_t i = 0; i < 3; ++i) {
    input.certificates.push_back({i + 1, "c", 0, kBegin, {16}, 1, kBegin, 16, {}});
    input.certificates[i].key_kind =
        i == 2 ? postern::pki::KeyClass::kRsa : postern::pki::KeyClass::kEcdsaP256;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    input.certificates[i % 2 == 0 ? 0 : 2].names.push_back(names[i]);
    if (i % 3 == 0) input.certificates[1].names.push_back(names[i]);
  }
  const IndexImage image = BuildIndex(input);
  const auto fd = postern::os::MakeSealed("fuzz", image.bytes);
  POSTERN_CHECK(fd.has_value());
  const auto mapped = CertificateIndex::Map(fd->get(), Segments());
  POSTERN_CHECK(mapped.has_value());
  const CertificateIndex& index = **mapped;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string host = HostFor(names[i]);
    if (host.size() > postern::limits::kMaxHostName) continue;
    const Choices found = index.Find(host);
    POSTERN_CHECK(!found.empty());
    // A wildcard is not asked when the host has a certificate of its own.
    if (host != names[i] && std::ranges::find(names, host) != names.end()) continue;
    POSTERN_CHECK(Has(found, i % 2 == 0 ? 0 : 2));
    POSTERN_CHECK(Has(found, 1) == (i % 3 == 0 && i % 2 != 0));
    std::string shouted = host + '.';
    std::ranges::transform(shouted, shouted.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    POSTERN_CHECK(std::ranges::equal(index.Find(shouted), found));
  }
}

unsigned Sum(postern::Bytes bytes) {
  unsigned sum = 0;
  for (const std::byte octet : bytes) sum += std::to_integer<unsigned>(octet);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  CheckRoundTrip(data, size);
  const auto fd = postern::fuzz::MakePart(PartKind::kIndex, {data, size});
  const auto mapped = CertificateIndex::Map(fd.get(), Segments());
  if (!mapped.has_value()) {
    POSTERN_CHECK(!mapped.error().what.empty());
    return 0;
  }
  const CertificateIndex& index = **mapped;
  POSTERN_CHECK(!index.default_certificates().empty());
  for (const uint32_t found : index.default_certificates()) POSTERN_CHECK(found < index.size());
  for (const std::string_view host : kHosts) {
    for (const uint32_t found : index.Find(host)) POSTERN_CHECK(found < index.size());
  }
  for (const uint32_t found : index.Find(HostIn(data, size))) POSTERN_CHECK(found < index.size());
  unsigned sum = 0;
  for (uint32_t i = 0; i < index.size(); ++i) {
    const CertificateView view = index.Get(i);
    POSTERN_CHECK(!view.chain_der.empty());
    for (const postern::Bytes der : view.chain_der) sum += Sum(der);
    POSTERN_CHECK(index.Facts(i).identity == view.identity);
    sum += Sum(index.Staple(i).response) + Sum(view.key_der) +
           static_cast<unsigned>(std::hash<std::string_view>{}(view.name) % 2);
  }
  return sum == UINT32_MAX ? 1 : 0;
}
