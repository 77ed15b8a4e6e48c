#include "generation/image.h"

#include "tests/unit/generation/images.h"

namespace postern::generation {
namespace {

struct TestHeader {
  PartHeader part;
  TableRef numbers;
};

Image TestImage(std::vector<uint32_t> numbers) {
  ImageBuilder<TestHeader> builder;
  TestHeader header;
  header.numbers = builder.Append(numbers);
  return builder.Finish(header, PartKind::kIndex);
}

}  // namespace

TEST_CASE("image: tables come back, aligned, and only where they lie inside") {
  const Image image = TestImage({1, 2, 3});
  CHECK(image.size() % kAlignment == 0);
  REQUIRE(CheckHeader(image, PartKind::kIndex, true).has_value());
  TestHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  const auto table = TableOf<uint32_t>(image, header.numbers);
  REQUIRE(table.has_value());
  CHECK(std::vector(table->begin(), table->end()) == std::vector<uint32_t>{1, 2, 3});

  const auto lies_inside = [&](uint64_t offset, uint64_t count) {
    return TableOf<uint32_t>(image, {offset, count}).has_value();
  };
  CHECK(lies_inside(image.size(), 0));
  CHECK(lies_inside(image.size() - 8, 2));
  CHECK_FALSE(lies_inside(image.size() - 8, 3));
  CHECK_FALSE(lies_inside(image.size() + 8, 0));
  CHECK_FALSE(lies_inside(4, 1));                   // not aligned
  CHECK_FALSE(lies_inside(8, UINT64_MAX / 4 + 2));  // count times size wraps around
  CHECK_FALSE(lies_inside(UINT64_MAX & ~7ULL, 8));  // so does offset plus size
}

TEST_CASE("image: texts only where they lie inside") {
  TextPool pool;
  const TextRef first = pool.Add("mail");
  const TextRef second = pool.Add("");
  CHECK(TextOf(pool.texts(), first) == "mail");
  CHECK(TextOf(pool.texts(), second) == "");
  CHECK_FALSE(TextOf(pool.texts(), {0, 5}).has_value());
  CHECK_FALSE(TextOf(pool.texts(), {5, 0}).has_value());
  CHECK_FALSE(TextOf(pool.texts(), {4, UINT32_MAX}).has_value());
}

TEST_CASE("image: the header tells kind, version, size and damage") {
  const Image image = TestImage({7});
  const auto why = [](const Image& part, PartKind kind) {
    const Status status = CheckHeader(part, kind, true);
    return status ? std::string() : status.error().what;
  };
  CHECK(why(image, PartKind::kIndex).empty());
  CHECK(why(image, PartKind::kSettings).find("something else") != std::string::npos);
  CHECK(why({}, PartKind::kIndex).find("too short") != std::string::npos);
  Image other = image;
  SetWord(other, offsetof(PartHeader, version), kLayoutVersion + 1);
  CHECK(why(Forged(other), PartKind::kIndex).find("its layout is version") != std::string::npos);
  other = image;
  other.resize(other.size() + 8);
  CHECK(why(other, PartKind::kIndex).find("size is wrong") != std::string::npos);
  other = image;
  SetWord(other, other.size() - 8, 8);
  CHECK(why(other, PartKind::kIndex).find("checksum is wrong") != std::string::npos);
  CHECK(why(Forged(other), PartKind::kIndex).empty());
}

}  // namespace postern::generation
