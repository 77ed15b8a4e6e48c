// Decoding of private keys that are not encrypted.
#pragma once

#include "pki/pem_file.h"

namespace postern::pki {

// DecodePlainKey decodes a PEM block of a private key; null when it is none (the error queue says
// why).
KeyPtr DecodePlainKey(const PemBlock& block);

}  // namespace postern::pki
