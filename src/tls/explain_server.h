// Why a handshake with a server behind failed, in words that an administrator can act on.
#pragma once

#include <cstddef>
#include <string_view>

#include "postern/base/bytes.h"
#include "tls/backend_context.h"
#include "tls/explain.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// What OpenSSL found wrong with a server's certificate.
struct FailedVerification {
  int error = X509_V_OK;  // X509_V_ERR_*
  X509Ptr leaf;           // the server's own; null: none was judged
  X509Ptr at;             // the one of its chain that is at fault; may be null
};

// Where the version ends in a ServerHello that is a connection's first record (RFC 8446 section
// 4.1.3): header of the record, header of the message, legacy_version.
inline constexpr size_t kServerHelloVersionEnd = 5 + 4 + 2;

struct FailedServerHandshake {
  const BackendContext& backend;
  std::string_view expected;  // what the certificate has to be for
  const FailedVerification& verification;
  Bytes beginning;  // of what the server sent, at most kServerHelloVersionEnd octets
};

// ExplainServer reads the cause from OpenSSL's error queue and empties it.
Explanation ExplainServer(SSL* ssl, const FailedServerHandshake& failed);

}  // namespace postern::tls
