// What a restricted ring can be asked for (io_uring_register_restrictions(3)).
#pragma once

#include <liburing.h>

namespace postern::ring {

// Restrict limits `ring`, which was made with IORING_SETUP_R_DISABLED, to the operations that Ring
// submits and to what it registers later, for good, and enables it; the calling thread is from then
// on the one that submits. `installs`: whether the kernel has IORING_OP_FIXED_FD_INSTALL. Returns 0
// or a negative errno value.
int Restrict(io_uring* ring, bool installs);

}  // namespace postern::ring
