#include "mail/crc32c.h"

#include <string>

#include "tests/unit/catch.h"

namespace postern::mail {

TEST_CASE("crc32c: known sums") {
  // RFC 3720 appendix B.4 and the usual check value.
  std::string rising(32, '\0');
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<char>(i);
  CHECK(Crc32c({}) == 0);
  CHECK(Crc32c(AsBytes("123456789")) == 0xE3069283);
  CHECK(Crc32c(AsBytes(std::string(32, '\0'))) == 0x8A9136AA);
  CHECK(Crc32c(AsBytes(std::string(32, '\xFF'))) == 0x62A8AB43);
  CHECK(Crc32c(AsBytes(rising)) == 0x46DD794E);
}

TEST_CASE("crc32c: a sum goes on where it stopped") {
  const Bytes text = AsBytes("123456789");
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    CHECK(Crc32c(text.subspan(cut), Crc32c(text.first(cut))) == 0xE3069283);
  }
}

}  // namespace postern::mail
