// What is told of certificates: a peer's, and the one that is served.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "postern/tls/handshake.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// "CN=alice,O=Example" as RFC 4514 writes it, bounded for a log line.
std::string SubjectText(const X509* certificate);
std::string IssuerText(const X509* certificate);

std::shared_ptr<const PeerCertificate> DescribePeer(const X509* certificate, bool verified);

// The algorithm that `certificate` is signed with, in OpenSSL's words ("ecdsa-with-SHA256"); static
// storage.
std::string_view SignatureName(const X509* certificate);
// "EC256", "RSA2048", "ED25519": as HAProxy writes it (PP2_SUBTYPE_SSL_KEY_ALG).
std::string KeyName(const EVP_PKEY* key);

}  // namespace postern::tls
