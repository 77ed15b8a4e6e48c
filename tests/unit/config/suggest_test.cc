#include "postern/config/suggest.h"

#include <array>

#include "tests/unit/catch.h"

namespace postern::config {
namespace {

constexpr std::array<std::string_view, 5> kKeys = {"address", "port", "service", "tls", "backend"};

}  // namespace

TEST_CASE("suggest: the nearest known word is named") {
  struct Case {
    std::string_view word;
    std::string_view meant;
  };
  const Case cases[] = {
      {"adress", "address"},    // a letter left out
      {"adderss", "address"},   // neighbours swapped
      {"Address", "address"},   // case
      {"servce", "service"},    //
      {"prot", "port"},         //
      {"ttls", "tls"},          // one letter of three
      {"back_end", "backend"},  //
      {"certificate", ""},      // another word altogether
      {"x", ""},                // anything is as near as anything else
      {"", ""},                 //
      {std::string_view("port\0\0\0", 7), ""},
  };
  for (const Case& c : cases) {
    INFO(c.word);
    CHECK(Nearest(c.word, kKeys) == c.meant);
  }
  CHECK(Nearest(std::string(100'000, 'a'), kKeys).empty());
  CHECK(Nearest("port", {}).empty());
}

TEST_CASE("suggest: what the file says is shown safely") {
  CHECK(Quote("a b") == "\"a b\"");
  CHECK(Quote("a\n\x7f") == "\"a\\x0a\\x7f\"");
  CHECK(Quote(std::string(200, 'a')) == '"' + std::string(80, 'a') + "...\"");
  // A character of two octets is not cut in half.
  CHECK(Quote(std::string(79, 'a') + "\xc3\xa9z") == '"' + std::string(79, 'a') + "...\"");
  CHECK(QuoteList(kKeys) == R"("address", "port", "service", "tls" or "backend")");
  CHECK(QuoteList({}).empty());
}

}  // namespace postern::config
