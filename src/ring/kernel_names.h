// What newer kernels have and liburing 2.3 does not name.
#pragma once

#include <cstdint>

namespace postern::ring {

constexpr uint8_t kOpFixedFdInstall = 54;  // IORING_OP_FIXED_FD_INSTALL, Linux 6.8

}  // namespace postern::ring
