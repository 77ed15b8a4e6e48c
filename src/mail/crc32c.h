// CRC32c (Castagnoli), as RFC 9260 appendix A counts it.
#pragma once

#include <cstdint>

#include "postern/base/bytes.h"

namespace postern::mail {

// Crc32c goes on from `sum`, the value for what stands before `bytes`; 0 at the beginning.
uint32_t Crc32c(Bytes bytes, uint32_t sum = 0);

}  // namespace postern::mail
