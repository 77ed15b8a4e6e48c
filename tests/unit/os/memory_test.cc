#include "postern/os/memory.h"

#include "tests/unit/catch.h"

namespace postern::os {

TEST_CASE("memory: what the kernel writes") {
  CHECK(ReadMemAvailable("MemTotal:  8000 kB\nMemFree: 1 kB\nMemAvailable:    2000 kB\n") ==
        2000U * 1024);
  CHECK_FALSE(ReadMemAvailable("MemTotal:  8000 kB\n"));
  CHECK_FALSE(ReadMemAvailable("MemAvailable:\n"));
  CHECK_FALSE(ReadMemAvailable(""));
  CHECK(ReadInactiveFile("anon 1\nfile 2\ninactive_file 4096\nactive_file 5\n") == 4096U);
  CHECK_FALSE(ReadInactiveFile("anon 1\n"));
  CHECK(ReadGroupPath("12:cpu:/x\n0::/system.slice/postern.service\n") ==
        "/system.slice/postern.service");
  CHECK(ReadGroupPath("0::/\n") == "/");
  CHECK(ReadGroupPath("4:memory:/docker\n").empty());
}

TEST_CASE("memory: this machine has some, and not more than there is") {
  const auto available = MemoryWatch::Open().AvailableBytes();
  REQUIRE(available);
  CHECK(*available > 0);
  CHECK(*available < uint64_t{1} << 50);
}

}  // namespace postern::os
