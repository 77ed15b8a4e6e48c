// What a finished handshake of libssl's came to, on either side.
#pragma once

#include "postern/tls/handshake.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// FillFacts sets version, cipher, group and resumed.
void FillFacts(SSL* ssl, HandshakeFacts& facts);

}  // namespace postern::tls
