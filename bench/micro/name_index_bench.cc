// Finding the certificate for a name, in indexes of 1 to 100,000 names. Names are asked for in an
// order that the processor's caches cannot guess, as clients do.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "generation/image.h"
#include "generation/index_image.h"
#include "postern/base/check.h"
#include "postern/generation/certificate_index.h"
#include "verify.h"

namespace postern::bench {
namespace {

using generation::CertificateIndex;
using generation::CertificateIndexPtr;
using generation::PartKind;

constexpr uint32_t kContent = 64;         // octets that stand for all chains and keys
constexpr uint32_t kNobody = UINT32_MAX;  // no certificate has the name

generation::SegmentPtr MakeSegment(generation::PartId id, PartKind kind) {
  std::vector<std::byte> image(sizeof(generation::PartHeader) + kContent);
  generation::PartHeader header;
  header.magic = generation::Magic(kind);
  header.version = generation::kLayoutVersion;
  header.size = image.size();
  header.id = id;
  std::memcpy(image.data(), &header, sizeof header);
  const auto fd = os::MakeSealed("bench", image);
  POSTERN_CHECK(fd.has_value());
  const auto segment = generation::Segment::Map(id, kind, fd->get());
  POSTERN_CHECK(segment.has_value());
  return *segment;
}

std::string Host(int64_t i) { return fmt::format("mail.customer{}.example.com", i); }
std::string Domain(int64_t i) { return fmt::format("*.shop{}.example.org", i); }

// `names` certificates with one name each: every other one a wildcard.
CertificateIndexPtr MakeIndex(int64_t names) {
  const std::map<generation::PartId, generation::SegmentPtr> segments = {
      {1, MakeSegment(1, PartKind::kCertificates)}, {2, MakeSegment(2, PartKind::kKeys)}};
  generation::IndexInput input;
  input.segments = {{1, static_cast<uint32_t>(PartKind::kCertificates)},
                    {2, static_cast<uint32_t>(PartKind::kKeys)}};
  for (int64_t i = 0; i < names; ++i) {
    constexpr uint64_t kBegin = sizeof(generation::PartHeader);
    const std::string name = i % 2 == 0 ? Host(i) : Domain(i);
    input.certificates.push_back(
        {static_cast<uint64_t>(i + 1), name, 0, kBegin, {kContent}, 1, kBegin, kContent, {name}});
  }
  const auto fd = os::MakeSealed("bench", generation::BuildIndex(input).bytes);
  POSTERN_CHECK(fd.has_value());
  const auto index = CertificateIndex::Map(fd->get(), segments);
  POSTERN_CHECK(index.has_value());
  return *index;
}

struct Question {
  std::string host;
  uint32_t certificate;
};

enum class Kind { kExact, kWildcard, kMiss };

// Every name of the kind that the index has, up to `kMost`, in no order.
std::vector<Question> Questions(Kind kind, int64_t names) {
  constexpr size_t kMost = 16'384;
  constexpr int64_t kStride = 7'919;  // a prime, so every name comes up once
  std::vector<Question> questions;
  for (int64_t n = 0; n < names && questions.size() < kMost; ++n) {
    const int64_t i = n * kStride % names;
    const auto certificate = static_cast<uint32_t>(i);
    if (kind == Kind::kMiss) {
      questions.push_back({fmt::format("mail.other{}.example.net", i), kNobody});
    } else if (kind == Kind::kExact && i % 2 == 0) {
      questions.push_back({Host(i), certificate});
    } else if (kind == Kind::kWildcard && i % 2 == 1) {
      questions.push_back({fmt::format("www.shop{}.example.org", i), certificate});
    }
  }
  return questions;
}

void FindName(benchmark::State& state, Kind kind) {
  const CertificateIndexPtr index = MakeIndex(state.range(0));
  const std::vector<Question> questions = Questions(kind, state.range(0));
  size_t next = 0;
  for (auto _ : state) {
    const Question& question = questions[next];
    const generation::Choices found = index->Find(question.host);
    if ((found.empty() ? kNobody : found.certificates[0]) != question.certificate) {
      return Wrong(state, "another certificate was found");
    }
    if (++next == questions.size()) next = 0;
  }
  PerCore(state);
}
BENCHMARK_CAPTURE(FindName, exact, Kind::kExact)->RangeMultiplier(10)->Range(1, 100'000);
BENCHMARK_CAPTURE(FindName, wildcard, Kind::kWildcard)->RangeMultiplier(10)->Range(10, 100'000);
BENCHMARK_CAPTURE(FindName, miss, Kind::kMiss)->RangeMultiplier(10)->Range(1, 100'000);

}  // namespace
}  // namespace postern::bench
