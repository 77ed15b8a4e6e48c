// Landlock (landlock(7)): what a process may no longer do, whoever it runs as.
#pragma once

#include "postern/base/result.h"

namespace postern::os {

// What Landlock took away; which of it depends on the kernel.
struct LandlockLimits {
  int version = 0;      // the kernel's Landlock ABI, 1 or more
  bool files = false;   // opening, making, removing files and directories, starting programs
  bool bind = false;    // binding a TCP port (ABI 4, Linux 6.7)
  bool scoped = false;  // signals and abstract UNIX sockets of other processes (ABI 6, Linux 6.12)
};

// RestrictByLandlock gives up, for good, every access that the kernel's Landlock knows of and that
// LandlockLimits lists. Descriptors that are open, connections to UNIX sockets by their path, and
// io_uring on open descriptors go on. Needs no root, but no_new_privs. Fails where the kernel has
// no Landlock.
Result<LandlockLimits> RestrictByLandlock();

}  // namespace postern::os
