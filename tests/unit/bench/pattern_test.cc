#include "bench/load/pattern.h"

#include <vector>

#include "tests/unit/catch.h"

using postern::bench::kPatternPiece;
using postern::bench::MatchesPattern;
using postern::bench::PatternAt;

namespace {

std::vector<std::byte> Stream(size_t size) {
  std::vector<std::byte> stream;
  while (stream.size() < size) {
    const auto piece = PatternAt(stream.size(), std::min(kPatternPiece, size - stream.size()));
    stream.insert(stream.end(), piece.begin(), piece.end());
  }
  return stream;
}

}  // namespace

TEST_CASE("The pattern matches itself however it is cut", "[bench]") {
  const auto stream = Stream(300'000);
  CHECK(MatchesPattern(0, stream));
  for (const size_t offset : {1, 16'383, 65'520, 65'521, 65'522, 131'071}) {
    CHECK(MatchesPattern(offset, postern::Bytes(stream).subspan(offset)));
  }
  CHECK(MatchesPattern(12, {}));
}

TEST_CASE("One wrong octet, one lost, one record twice: none matches", "[bench]") {
  auto wrong = Stream(100'000);
  wrong[77'777] ^= std::byte{1};
  CHECK_FALSE(MatchesPattern(0, wrong));
  const auto stream = Stream(100'000);
  CHECK_FALSE(MatchesPattern(0, postern::Bytes(stream).subspan(1)));
  for (const size_t repeated : {4096, 16'384, 32'768, 65'536}) {
    CHECK_FALSE(MatchesPattern(repeated, postern::Bytes(stream).first(1000)));
  }
}
