#include <utility>
#include <vector>

#include "postern/pki/certificate.h"
#include "tests/unit/catch.h"

namespace postern::pki {

TEST_CASE("pki: secret octets move, and what is left behind is empty") {
  SecretBytes a(std::vector<unsigned char>(32, 0xAB));
  SecretBytes b(std::move(a));
  CHECK(a.get().empty());  // NOLINT(bugprone-use-after-move): what is tested
  CHECK(b.get() == std::vector<unsigned char>(32, 0xAB));
  SecretBytes c(std::vector<unsigned char>(16, 1));
  c = std::move(b);
  CHECK(b.get().empty());  // NOLINT(bugprone-use-after-move)
  CHECK(c.get().size() == 32);
}

}  // namespace postern::pki
