// Client certificates: whom a context trusts.
#pragma once

#include "postern/tls/policy.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// SetClientTrust makes handshakes of `context` ask for a certificate as `clients` says. False
// leaves the cause in OpenSSL's error queue.
bool SetClientTrust(SSL_CTX* context, const ClientPolicy& clients);

}  // namespace postern::tls
