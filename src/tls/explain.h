// Why a handshake failed, in words that an administrator can act on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "postern/tls/handshake.h"
#include "tls/client_offer.h"
#include "tls/policy_context.h"

namespace postern::tls {

struct Explanation {
  HandshakeFailure failure = HandshakeFailure::kProtocol;
  std::string detail;
};

// What a handshake knows of itself when it has failed.
struct FailedHandshake {
  const ClientOffer& offer;
  const PolicyContext& policy;
  std::string_view service;
  uint32_t key_kinds = 0;  // of the certificates for the client's name, bit 1 << pki::KeyClass
  // Of a client's certificate that did not verify: OpenSSL's reason (X509_V_ERR_*), whose it was.
  int verify_error = X509_V_OK;
  std::string_view client;
  std::string_view client_issuer;
};

// ExplainFailure reads the cause from OpenSSL's error queue and empties it.
Explanation ExplainFailure(SSL* ssl, const FailedHandshake& failed);

}  // namespace postern::tls
