#include "postern/os/unique_fd.h"

#include <fcntl.h>

#include "tests/unit/catch.h"

namespace postern::os {
namespace {

bool Open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
UniqueFd Null() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

TEST_CASE("unique_fd: closes once, moves, lets go") {
  int number = -1;
  {
    UniqueFd a = Null();
    REQUIRE(a.valid());
    number = a.get();
    UniqueFd b = std::move(a);
    CHECK_FALSE(a.valid());
    CHECK(b.get() == number);
    CHECK(Open(number));
  }
  CHECK_FALSE(Open(number));

  UniqueFd c = Null();
  const int first = c.get();
  UniqueFd d = Null();
  c = std::move(d);
  CHECK_FALSE(Open(first));

  const int released = c.Release();
  CHECK_FALSE(c.valid());
  CHECK(Open(released));
  ::close(released);
}

}  // namespace postern::os
