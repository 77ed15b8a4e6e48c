// The record engine that keeps libssl: every version and suite.
#pragma once

#include <memory>

#include "postern/tls/record.h"
#include "tls/openssl_types.h"
#include "tls/wire_bio.h"

namespace postern::tls {

// `ssl` has finished its handshake and reads and writes through `window`.
std::unique_ptr<Record> MakeLibsslRecord(SslPtr ssl, std::unique_ptr<WireWindow> window);

}  // namespace postern::tls
