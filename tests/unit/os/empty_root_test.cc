#include "postern/os/empty_root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/unit/catch.h"
#include "tests/unit/os/in_child.h"

namespace postern::os {

TEST_CASE("empty root: no path leads anywhere, and nothing can be made") {
  if (::geteuid() != 0 || !CanEnterEmptyRoot()) return;
  CHECK(
      InChild([] {
        int ends[2];
        if (::pipe(ends) != 0) return 1;
        if (!EnterEmptyRoot()) return 2;
        for (const char* path : {"/", "/etc/passwd", "/proc/self/exe", "etc", "../../etc/passwd"}) {
          if (::open(path, O_RDONLY) >= 0) return 3;
        }
        if (::open("/made", O_RDWR | O_CREAT, 0600) >= 0 || ::mkdir("/made", 0700) == 0) return 4;
        // What was open before stays.
        return ::write(ends[1], "x", 1) == 1 ? 0 : 5;
      }) == 0);
  // It was the child's alone.
  CHECK(::access("/etc/passwd", R_OK) == 0);
}

TEST_CASE("empty root: who may not is told so and stays where he is") {
  CHECK(InChild([] {
          if (::geteuid() == 0 && ::setuid(65534) != 0) return 1;
          if (CanEnterEmptyRoot() || EnterEmptyRoot()) return 2;
          return ::access("/etc/passwd", R_OK) == 0 ? 0 : 3;
        }) == 0);
}

}  // namespace postern::os
