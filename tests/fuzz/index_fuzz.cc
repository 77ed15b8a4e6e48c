// Fuzzing of the name index's reader, over one segment of certificates and one of keys.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include "postern/base/check.h"
#include "postern/generation/certificate_index.h"
#include "tests/fuzz/resealed.h"

using namespace postern::generation;

namespace {

constexpr std::array<std::string_view, 6> kHosts = {
    "mail.example.com", "MAIL.example.com.", "a.example.org", "example.org", "", "*.example.org"};

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

unsigned Sum(postern::Bytes bytes) {
  unsigned sum = 0;
  for (const std::byte octet : bytes) sum += std::to_integer<unsigned>(octet);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
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
