// What generations share, and what it costs to have many of them.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "generation/segments.h"
#include "tests/unit/generation/site.h"

namespace postern::generation {
namespace {

std::set<PartId> Segments(const Generation& generation) {
  std::set<PartId> ids;
  for (const PartPtr& part : generation.parts) {
    if (part->kind() == PartKind::kCertificates || part->kind() == PartKind::kKeys) {
      ids.insert(part->id());
    }
  }
  return ids;
}

size_t SegmentOctets(const Generation& generation) {
  size_t octets = 0;
  for (const PartPtr& part : generation.parts) {
    if (Segments(generation).contains(part->id())) octets += part->size();
  }
  return octets;
}

CertificateView ViewOf(const Mapped& mapped, const std::string& host) {
  const uint32_t number = First(mapped.index->Find(host));
  REQUIRE(number != kNobody);
  return mapped.index->Get(number);
}

uint64_t IdentityOf(const Generation& generation, const std::string& host) {
  return ViewOf(MapGeneration(generation), host).identity;
}

// A site of `count` certificates, "0.example" being the default.
struct ManyCertificates : Site {
  explicit ManyCertificates(int count) {
    for (int i = 0; i < count; ++i) Pair(fmt::format("c{}", i), fmt::format("{}.example", i));
    certificates().default_name = "c0";
  }
};

}  // namespace

TEST_CASE("sharing: 50 reloads without a change leave one copy") {
  ManyCertificates site(5);
  GenerationPtr generation = site.Compile();
  const std::set<PartId> segments = Segments(*generation);
  const PartPtr index = generation->parts[1];
  std::set<const Part*> alive;
  std::vector<GenerationPtr> all = {generation};
  for (int i = 0; i < 50; ++i) {
    generation = site.Compile(generation);
    all.push_back(generation);
    CHECK(Segments(*generation) == segments);
    CHECK(generation->parts[1] == index);
  }
  for (const GenerationPtr& each : all) {
    for (const PartPtr& part : each->parts) {
      if (part->kind() != PartKind::kSettings) alive.insert(part.get());
    }
  }
  // Even while all 51 generations live: one index, one segment of chains, one of keys.
  CHECK(alive.size() == 3);
}

TEST_CASE("sharing: files that have not changed are not read again") {
  ManyCertificates site(3);
  site.Settle();
  const GenerationPtr first = site.Compile();
  CHECK(first->certificates_read == 3);
  const GenerationPtr second = site.Compile(first);
  CHECK(second->certificates == 3);
  CHECK(second->certificates_read == 0);

  site.Pair("c1", "1.example");
  const GenerationPtr third = site.Compile(second);
  CHECK(third->certificates_read == 1);
  CHECK(third->parts[1] != second->parts[1]);
  // One new segment of each kind; the others are shared.
  CHECK(Segments(*third).size() == 4);
  for (const PartId id : Segments(*second)) CHECK(Segments(*third).contains(id));
  const Mapped before = MapGeneration(*second);
  const Mapped after = MapGeneration(*third);
  CHECK(ViewOf(before, "2.example").identity == ViewOf(after, "2.example").identity);
  CHECK(ViewOf(before, "1.example").identity != ViewOf(after, "1.example").identity);
  CHECK(AsText(ViewOf(before, "1.example").chain_der[0]) !=
        AsText(ViewOf(after, "1.example").chain_der[0]));

  // A key that changed alone is seen, too: here it no longer fits.
  site.Settle();
  const GenerationPtr fourth = site.Compile(third);
  site.Write("c2.key", pki::Pem(pki::MakeEcKey().get()));
  CHECK(AllOf(site.Faults(fourth)).find("does not belong to the certificate") != std::string::npos);
}

TEST_CASE("sharing: files touched without a change are the same certificate") {
  ManyCertificates site(2);
  const GenerationPtr first = site.Compile();
  std::ifstream file(site.directory / "c1.crt", std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  site.Write("c1.crt", content);
  const GenerationPtr second = site.Compile(first);
  CHECK(second->certificates_read >= 1);
  CHECK(second->parts[1] == first->parts[1]);
}

TEST_CASE("sharing: a certificate under another name is another identity") {
  // What caches contexts binds tickets to the name.
  ManyCertificates site(1);
  const GenerationPtr first = site.Compile();
  site.certificates().default_name.clear();
  site.certificates().directory += "/none";
  site.certificates().directory_set = false;
  site.Configure("c0", "renamed");
  const GenerationPtr second = site.Compile(first);
  const Mapped first_mapped = MapGeneration(*first);
  const Mapped second_mapped = MapGeneration(*second);
  const CertificateView before = ViewOf(first_mapped, "0.example");
  const CertificateView after = ViewOf(second_mapped, "0.example");
  CHECK(after.name == "renamed");
  CHECK(before.identity != after.identity);
}

TEST_CASE("sharing: a refused reload gives its identities to nobody else") {
  ManyCertificates site(1);
  const GenerationPtr first = site.Compile();
  site.Pair("c0", "0.example");
  const GenerationPtr refused = site.Compile(first);
  site.Pair("c0", "0.example");
  const GenerationPtr taken = site.Compile(first);
  const auto identity = [](const GenerationPtr& generation) {
    return IdentityOf(*generation, "0.example");
  };
  CHECK(identity(first) != identity(refused));
  CHECK(identity(refused) != identity(taken));
  for (const PartId id : Segments(*taken)) CHECK_FALSE(Segments(*refused).contains(id));
}

TEST_CASE("sharing: what is no longer named is compacted away") {
  ManyCertificates site(20);
  GenerationPtr generation = site.Compile();
  const size_t full = SegmentOctets(*generation);
  const uint64_t kept = IdentityOf(*generation, "0.example");
  const std::set<PartId> segments = Segments(*generation);

  // More than half is still there: nothing moves.
  for (int i = 12; i < 20; ++i) {
    site.Remove(fmt::format("c{}.crt", i));
    site.Remove(fmt::format("c{}.key", i));
  }
  generation = site.Compile(generation);
  CHECK(Segments(*generation) == segments);

  for (int i = 5; i < 12; ++i) {
    site.Remove(fmt::format("c{}.crt", i));
    site.Remove(fmt::format("c{}.key", i));
  }
  generation = site.Compile(generation);
  CHECK(generation->certificates == 5);
  CHECK(Segments(*generation).size() == 2);
  for (const PartId id : Segments(*generation)) CHECK_FALSE(segments.contains(id));
  CHECK(SegmentOctets(*generation) < full / 2);
  // They are the same certificates, elsewhere.
  const Mapped mapped = MapGeneration(*generation);
  const CertificateView view = ViewOf(mapped, "0.example");
  CHECK(view.identity == kept);
  const unsigned char* at = AsUnsigned(view.key_der);
  const pki::KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(view.key_der.size())));
  REQUIRE(key != nullptr);
  CHECK(EVP_PKEY_eq(key.get(), site.key.get()) == 1);
}

TEST_CASE(
    "sharing: a segment is wiped when compaction has emptied it and its generations are gone") {
  ManyCertificates site(4);
  GenerationPtr generation = site.Compile();
  Result<os::Mapping> keys = os::MapFd(generation->parts.at(3)->fd(), os::MapMode::kReadOnly);
  REQUIRE(keys.has_value());
  for (int i = 1; i < 4; ++i) {
    site.Remove(fmt::format("c{}.crt", i));
    site.Remove(fmt::format("c{}.key", i));
  }
  generation = site.Compile(generation);
  for (const std::byte octet : keys->bytes()) {
    if (octet != std::byte{}) FAIL("a key is left");
  }
}

TEST_CASE("sharing: many small renewals do not leave many segments") {
  ManyCertificates site(30);
  GenerationPtr generation = site.Compile();
  const size_t full = SegmentOctets(*generation);
  size_t most = 0;
  for (int reload = 0; reload < 60; ++reload) {
    const int renewed = reload % 30;
    site.Pair(fmt::format("c{}", renewed), fmt::format("{}.example", renewed));
    generation = site.Compile(generation);
    most = std::max(most, Segments(*generation).size());
    CHECK(SegmentOctets(*generation) < full * 5 / 2);
  }
  CHECK(most > 4);
  CHECK(most <= 2 * kMaxBatches);
  const Mapped mapped = MapGeneration(*generation);
  for (int i = 0; i < 30; ++i) {
    const CertificateView view = ViewOf(mapped, fmt::format("{}.example", i));
    CHECK(view.name == fmt::format("c{}", i));
    const unsigned char* at = AsUnsigned(view.chain_der.at(0));
    const pki::X509Ptr leaf(d2i_X509(nullptr, &at, static_cast<long>(view.chain_der[0].size())));
    REQUIRE(leaf != nullptr);
    CHECK(X509_check_host(leaf.get(), fmt::format("{}.example", i).c_str(), 0, 0, nullptr) == 1);
  }
}

}  // namespace postern::generation
