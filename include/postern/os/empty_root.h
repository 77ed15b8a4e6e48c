// A root directory with nothing in it, in which nothing can be made.
#pragma once

#include "postern/base/result.h"

namespace postern::os {

// EnterEmptyRoot moves this process, for good, into a root directory in which no name leads
// anywhere: every path fails with ESRCH. Needs CAP_SYS_CHROOT and /proc. What is open stays open.
Status EnterEmptyRoot();

// CanEnterEmptyRoot tries it in a process of its own. For a program without other threads.
Status CanEnterEmptyRoot();

}  // namespace postern::os
