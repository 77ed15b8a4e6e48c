// Whom a context trusts: a listener its clients, a back end its servers.
#pragma once

#include "postern/tls/policy.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// SetClientTrust makes handshakes of `context` ask for a certificate as `clients` says. False
// leaves the cause in OpenSSL's error queue.
bool SetClientTrust(SSL_CTX* context, const ClientPolicy& clients);

// MakeTrustStore holds the authorities and revocation lists of `trust`, each of them trusted by
// itself. nullptr leaves the cause in OpenSSL's error queue.
StorePtr MakeTrustStore(const generation::TrustSettings& trust);

}  // namespace postern::tls
