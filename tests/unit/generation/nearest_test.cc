#include "generation/nearest.h"

#include "tests/unit/catch.h"

namespace postern::generation {

TEST_CASE("nearest: a slip is recognized, a stranger is not") {
  const std::set<std::string> known = {"default", "mail.example.com", "imap.example.com"};
  CHECK(Nearest("defualt", known) == "default");
  CHECK(Nearest("mail.exmaple.com", known) == "mail.example.com");
  CHECK(Nearest("imap.example.com", known) == "imap.example.com");
  CHECK(Nearest("something", known).empty());
  CHECK(Nearest("default", {}).empty());
}

}  // namespace postern::generation
