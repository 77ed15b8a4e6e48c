// Why a handshake failed, in words that an administrator can act on.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "postern/tls/handshake.h"
#include "tls/client_offer.h"

namespace postern::tls {

struct Explanation {
  HandshakeFailure failure = HandshakeFailure::kProtocol;
  std::string detail;
};

// ExplainFailure reads the cause from OpenSSL's error queue and empties it. `groups` are those that
// the server accepts.
Explanation ExplainFailure(SSL* ssl, const ClientOffer& offer, std::span<const uint16_t> groups);

}  // namespace postern::tls
