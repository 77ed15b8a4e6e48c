#include "postern/generation/certificate_index.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/base/limits.h"
#include "tests/unit/generation/images.h"

namespace postern::generation {
namespace {

// A segment of `size` octets, all of them `fill`.
Image SegmentImage(PartId id, PartKind kind, size_t size, unsigned char fill) {
  Image image(sizeof(PartHeader) + Aligned(size), std::byte{fill});
  PartHeader header;
  header.magic = Magic(kind);
  header.version = kLayoutVersion;
  header.size = image.size();
  header.id = id;
  std::memcpy(image.data(), &header, sizeof header);
  return image;
}

SegmentPtr MapSegment(PartId id, PartKind kind, size_t size, unsigned char fill) {
  const Image image = SegmentImage(id, kind, size, fill);
  Result<SegmentPtr> segment = Segment::Map(id, kind, Sealed(image).get());
  REQUIRE(segment.has_value());
  return *segment;
}

struct Example {
  Example() {
    segments[1] = MapSegment(1, PartKind::kCertificates, 64, 'c');
    segments[2] = MapSegment(2, PartKind::kKeys, 32, 'k');
    input.segments = {{1, static_cast<uint32_t>(PartKind::kCertificates)},
                      {2, static_cast<uint32_t>(PartKind::kKeys)}};
    constexpr uint64_t kBegin = sizeof(PartHeader);
    input.certificates = {
        {11, "main", 0, kBegin, {10, 20}, 1, kBegin, 16, {"mail.example.com", "example.com"}},
        {12,
         "wild",
         0,
         kBegin + 32,
         {32},
         1,
         kBegin + 16,
         16,
         {"*.example.com", "*.example.org", "example.com"}},
    };
    input.default_certificate = 1;
  }

  Result<CertificateIndexPtr> Map(const Image& image) const {
    return CertificateIndex::Map(Sealed(image).get(), segments);
  }
  CertificateIndexPtr Map() const {
    Result<CertificateIndexPtr> index = Map(BuildIndex(input).bytes);
    REQUIRE(index.has_value());
    return *index;
  }
  // Why an index made of the changed input is refused.
  std::string Refusal() const {
    const Result<CertificateIndexPtr> index = Map(BuildIndex(input).bytes);
    REQUIRE_FALSE(index.has_value());
    return index.error().what;
  }

  std::map<PartId, SegmentPtr> segments;
  IndexInput input;
};

}  // namespace

TEST_CASE("index: names are found as clients write them") {
  const CertificateIndexPtr index = Example().Map();
  REQUIRE(index->size() == 2);
  CHECK(First(index->default_certificates()) == 1);
  struct Case {
    std::string host;
    uint32_t certificate;
  };
  const Case cases[] = {
      {"mail.example.com", 0},
      {"MAIL.Example.COM", 0},
      {"mail.example.com.", 0},
      {"example.com", 0},               // the first certificate that has it
      {"imap.example.com", 1},          // by wildcard
      {"a.example.org", 1},             //
      {"example.org", kNobody},         // a wildcard does not stand for nothing
      {"a.b.example.org", kNobody},     // nor for two labels
      {"*.example.org", kNobody},       // and is no host
      {".example.org", kNobody},        //
      {"", kNobody},                    //
      {".", kNobody},                   //
      {"mail.example.com..", kNobody},  //
      {"mail.example.co", kNobody},     //
      {"mail.example.comm", kNobody},   //
      {std::string("mail\0example.com", 16), kNobody},
      {std::string(4096, 'a'), kNobody},
      {std::string(limits::kMaxHostName - 12, 'a') + ".example.org", 1},
      {std::string(limits::kMaxHostName - 11, 'a') + ".example.org", kNobody},
  };
  for (const Case& test : cases) {
    CAPTURE(test.host);
    CHECK(First(index->Find(test.host)) == test.certificate);
  }
}

TEST_CASE("index: a certificate comes back as it was put in") {
  const CertificateIndexPtr index = Example().Map();
  const CertificateView view = index->Get(0);
  CHECK(view.identity == 11);
  CHECK(view.name == "main");
  REQUIRE(view.chain_der.size() == 2);
  CHECK(AsText(view.chain_der[0]) == std::string(10, 'c'));
  CHECK(AsText(view.chain_der[1]) == std::string(20, 'c'));
  CHECK(view.chain_der[1].data() == view.chain_der[0].data() + 10);
  CHECK(AsText(view.key_der) == std::string(16, 'k'));
}

TEST_CASE("index: who loses a name is told") {
  Example example;
  example.input.certificates[0].names.push_back("example.com");  // twice in one: no loss
  const IndexImage image = BuildIndex(example.input);
  REQUIRE(image.lost.size() == 1);
  CHECK(image.lost[0].name == "example.com");
  CHECK(image.lost[0].winner == 0);
  CHECK(image.lost[0].loser == 1);
}

TEST_CASE("index: the same input gives the same octets") {
  CHECK(BuildIndex(Example().input).bytes == BuildIndex(Example().input).bytes);
}

TEST_CASE("index: a generation holds its segments") {
  std::weak_ptr<const Segment> segment;
  {
    Example example;
    segment = example.segments[2];
    const CertificateIndexPtr index = example.Map();
    example.segments.clear();
    CHECK_FALSE(segment.expired());
    CHECK(AsText(index->Get(0).key_der) == std::string(16, 'k'));
  }
  CHECK(segment.expired());
}

TEST_CASE("index: every reference is checked when it is mapped") {
  Example example;
  IndexedCertificate& certificate = example.input.certificates[1];
  SECTION("default") {
    example.input.default_certificate = 2;
    CHECK(example.Refusal().find("a certificate that is not there") != std::string::npos);
  }
  SECTION("no certificate at all") {
    example.input.certificates.clear();
    example.input.default_certificate = 0;
    CHECK(example.Refusal().find("a certificate that is not there") != std::string::npos);
  }
  SECTION("a segment that is not there") {
    example.segments.erase(2);
    CHECK(example.Refusal().find("segment 2 is not there") != std::string::npos);
  }
  SECTION("a segment of another kind") {
    example.segments[2] = example.segments[1];
    CHECK(example.Refusal().find("segment 2 is of another kind") != std::string::npos);
  }
  SECTION("a key in a segment of certificates") {
    certificate.key_segment = 0;
    CHECK(example.Refusal().find("a segment is not there") != std::string::npos);
  }
  SECTION("a segment number out of range") {
    certificate.chain_segment = 2;
    CHECK(example.Refusal().find("a segment is not there") != std::string::npos);
  }
  SECTION("a chain that ends behind its segment") {
    certificate.chain_lengths = {33};
    CHECK(example.Refusal().find("a certificate lies outside") != std::string::npos);
  }
  SECTION("a chain whose length wraps around") {
    certificate.chain_offset = UINT64_MAX - 8;
    CHECK(example.Refusal().find("a certificate lies outside") != std::string::npos);
  }
  SECTION("a chain that begins in the header") {
    certificate.chain_offset = 0;
    CHECK(example.Refusal().find("a certificate lies outside") != std::string::npos);
  }
  SECTION("an empty chain, an empty certificate") {
    certificate.chain_lengths = {};
    CHECK(example.Refusal().find("a chain is damaged") != std::string::npos);
    certificate.chain_lengths = {8, 0};
    CHECK(example.Refusal().find("a chain is damaged") != std::string::npos);
  }
  SECTION("a key that ends behind its segment") {
    certificate.key_length = 17;
    CHECK(example.Refusal().find("a key lies outside") != std::string::npos);
  }
  SECTION("an OCSP response that ends behind its segment") {
    certificate.staple_length = 1;
    CHECK(example.Refusal().find("a certificate lies outside") != std::string::npos);
  }
  SECTION("a key of no kind") {
    certificate.key_kind = static_cast<pki::KeyClass>(pki::kKeyClasses);
    CHECK(example.Refusal().find("a kind that is not known") != std::string::npos);
  }
  SECTION("an empty key") {
    certificate.key_length = 0;
    CHECK(example.Refusal().find("a key lies outside") != std::string::npos);
  }
}

TEST_CASE("index: a table of names without a free slot is refused, not searched for ever") {
  const Example example;
  Image image = BuildIndex(example.input).bytes;
  IndexHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  for (size_t i = 0; i < header.slots.count; ++i) {
    const NameSlot slot{0, 0, {0, 1}};
    std::memcpy(image.data() + header.slots.offset + i * sizeof slot, &slot, sizeof slot);
  }
  const Result<CertificateIndexPtr> full = example.Map(Forged(image));
  REQUIRE_FALSE(full.has_value());
  CHECK(full.error().what.find("no free slot") != std::string::npos);
  header.slots.count = 0;
  std::memcpy(image.data(), &header, sizeof header);
  CHECK_FALSE(example.Map(Forged(image)).has_value());
}

TEST_CASE("index: pairs of one name with keys of different families serve it together") {
  Example example;
  example.input.certificates[0].key_kind = pki::KeyClass::kRsa;
  example.input.certificates[0].schemes = 5;
  example.input.certificates[1].key_kind = pki::KeyClass::kEcdsaP384;
  const IndexImage image = BuildIndex(example.input);
  CHECK(image.lost.empty());
  const Result<CertificateIndexPtr> mapped = example.Map(image.bytes);
  REQUIRE(mapped.has_value());
  const CertificateIndex& index = **mapped;
  const Choices both = index.Find("EXAMPLE.com.");
  REQUIRE(both.count == 2);
  CHECK(both.certificates[0] == 0);
  CHECK(both.certificates[1] == 1);
  CHECK(index.Find("mail.example.com").count == 1);  // an exact name is not joined by a wildcard
  CHECK(index.Facts(0).key_kind == pki::KeyClass::kRsa);
  CHECK(index.Facts(0).schemes == 5);
  CHECK(index.Facts(1).identity == 12);
}

TEST_CASE("index: the default certificate is joined by those that share its first name") {
  Example example;
  const auto defaults = [&] {
    const Result<CertificateIndexPtr> index = example.Map(BuildIndex(example.input).bytes);
    REQUIRE(index.has_value());
    const Choices choices = (*index)->default_certificates();
    return std::vector<uint32_t>(choices.begin(), choices.end());
  };
  example.input.certificates[0].key_kind = pki::KeyClass::kRsa;
  example.input.certificates[1].key_kind = pki::KeyClass::kEcdsaP256;
  example.input.certificates[1].names = {"example.com"};
  CHECK(defaults() == std::vector<uint32_t>{1, 0});
  example.input.default_certificate = 0;  // its first name is mail.example.com
  CHECK(defaults() == std::vector<uint32_t>{0});
  example.input.certificates[0].names.clear();
  CHECK(defaults() == std::vector<uint32_t>{0});
}

TEST_CASE("index: runs of choices are bounded and end") {
  const Example example;
  const Image image = BuildIndex(example.input).bytes;
  IndexHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  const auto refusal = [&](auto change) {
    Image changed = image;
    change(changed);
    const Result<CertificateIndexPtr> index = example.Map(Forged(changed));
    REQUIRE_FALSE(index.has_value());
    return index.error().what;
  };
  const size_t last = header.choices.offset + (header.choices.count - 1) * 4;
  CHECK(refusal([&](Image& it) { SetWord(it, last, kMore); }).find("have no end") !=
        std::string::npos);
  CHECK(refusal([&](Image& it) {
          for (size_t i = 0; i < header.choices.count; ++i) {
            SetWord(it, header.choices.offset + i * 4, kMore);
          }
        }).find("too many certificates") != std::string::npos);
  CHECK(refusal([&](Image& it) {
          SetWord(it, offsetof(IndexHeader, default_choice),
                  static_cast<uint32_t>(header.choices.count));
        }).find("default certificate is not there") != std::string::npos);
}

TEST_CASE("index: the OCSP response is what stands behind the chain") {
  Example example;
  Image octets = SegmentImage(1, PartKind::kCertificates, 64, 'c');
  std::memset(octets.data() + sizeof(PartHeader) + 30, 's', 2);
  example.segments[1] = *Segment::Map(1, PartKind::kCertificates, Sealed(octets).get());
  example.input.certificates[0].staple_length = 2;
  example.input.certificates[0].staple_until = 1'900'000'000;
  const CertificateIndexPtr index = example.Map();
  CHECK(AsText(index->Staple(0).response) == "ss");
  CHECK(index->Staple(0).good_until == 1'900'000'000);
  CHECK(index->Staple(1).response.empty());
}

TEST_CASE("index: a chain whose lengths lie behind their table is refused") {
  const Example example;
  Image image = BuildIndex(example.input).bytes;
  IndexHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  REQUIRE(header.lengths.count == 3);
  header.lengths.count = 2;  // the octets are still there, and would make a sound chain
  std::memcpy(image.data(), &header, sizeof header);
  const Result<CertificateIndexPtr> cut = example.Map(Forged(image));
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error().what.find("a chain is damaged") != std::string::npos);
}

TEST_CASE("index: a truncated image is refused, forged or not") {
  const Example example;
  const Image image = BuildIndex(example.input).bytes;
  for (size_t size = 0; size < image.size(); ++size) {
    const Image cut(image.begin(), image.begin() + static_cast<ptrdiff_t>(size));
    REQUIRE_FALSE(example.Map(cut).has_value());
    if (Aligned(size) == image.size()) continue;
    REQUIRE_FALSE(example.Map(Forged(cut)).has_value());
  }
}

TEST_CASE("index: any changed word is an error, or harmless when the checksum is forged") {
  const Example example;
  const Image image = BuildIndex(example.input).bytes;
  size_t refused = 0;
  size_t taken = 0;
  ForEachDamage(image, [&](const Image& damaged) {
    REQUIRE_FALSE(example.Map(damaged).has_value());
    const Result<CertificateIndexPtr> index = example.Map(Forged(damaged));
    if (index) {
      ++taken;
      CHECK(Touch(**index) > 0);
    } else {
      ++refused;
    }
  });
  CHECK(refused > 100);
  CHECK(taken > 100);
}

TEST_CASE("segment: what is unsealed, of another kind or id, or damaged is refused") {
  const Image keys = SegmentImage(5, PartKind::kKeys, 32, 'k');
  CHECK(Segment::Map(5, PartKind::kKeys, Sealed(keys).get()).has_value());
  CHECK_FALSE(Segment::Map(6, PartKind::kKeys, Sealed(keys).get()).has_value());
  CHECK_FALSE(Segment::Map(5, PartKind::kCertificates, Sealed(keys).get()).has_value());
  CHECK_FALSE(Segment::Map(5, PartKind::kIndex, Sealed(keys).get()).has_value());
  CHECK_FALSE(Segment::Map(5, PartKind::kKeys, Sealed({}).get()).has_value());
  for (size_t at = 0; at < sizeof(PartHeader); at += 4) {
    Image damaged = keys;
    SetWord(damaged, at, ~Word(keys, at));
    CHECK_FALSE(Segment::Map(5, PartKind::kKeys, Sealed(damaged).get()).has_value());
  }
  // The master's own writable mapping is allowed for keys, and for keys only.
  Result<os::SecretMemory> secret = os::MakeSecret("test", keys);
  REQUIRE(secret.has_value());
  CHECK(Segment::Map(5, PartKind::kKeys, secret->fd.get()).has_value());
  const Image certificates = SegmentImage(5, PartKind::kCertificates, 32, 'c');
  secret = os::MakeSecret("test", certificates);
  CHECK_FALSE(Segment::Map(5, PartKind::kCertificates, secret->fd.get()).has_value());
}

TEST_CASE("index: 100,000 names, each found and none besides") {
  constexpr uint32_t kCount = 100'000;
  Example example;
  example.input.certificates.clear();
  for (uint32_t i = 0; i < kCount; ++i) {
    IndexedCertificate certificate{i + 1,
                                   fmt::format("domain{}", i),
                                   0,
                                   sizeof(PartHeader),
                                   {64},
                                   1,
                                   sizeof(PartHeader),
                                   32,
                                   {i % 10 == 0 ? fmt::format("*.wild{}.example", i)
                                                : fmt::format("mail.domain{}.example", i)}};
    example.input.certificates.push_back(std::move(certificate));
  }
  const Image image = BuildIndex(example.input).bytes;
  // Compact: slot, entry and texts of a name, within 200 octets.
  CHECK(image.size() < kCount * 200);
  const Result<CertificateIndexPtr> mapped = example.Map(image);
  REQUIRE(mapped.has_value());
  const CertificateIndex& index = **mapped;
  REQUIRE(index.size() == kCount);
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    const std::string host = i % 10 == 0 ? fmt::format("mail.wild{}.example", i)
                                         : fmt::format("MAIL.domain{}.example", i);
    if (First(index.Find(host)) != i) ++wrong;
    if (!index.Find(fmt::format("mail.unknown{}.example", i)).empty()) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(index.Get(kCount - 1).identity == kCount);
}

}  // namespace postern::generation
