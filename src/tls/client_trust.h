// Client certificates: whom a context trusts, and what is told of a client's.
#pragma once

#include <string>

#include "postern/tls/policy.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// SetClientTrust makes handshakes of `context` ask for a certificate as `clients` says. False
// leaves the cause in OpenSSL's error queue.
bool SetClientTrust(SSL_CTX* context, const ClientPolicy& clients);

// "CN=alice,O=Example" as RFC 4514 writes it, bounded for a log line.
std::string SubjectText(const X509* certificate);
std::string IssuerText(const X509* certificate);

}  // namespace postern::tls
