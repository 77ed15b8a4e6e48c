// The SSL_CTX that every handshake of a generation starts from: everything but certificates.
#pragma once

#include <cstdint>
#include <vector>

#include "postern/base/result.h"
#include "postern/shm/ticket_keys.h"
#include "tls/openssl_types.h"

namespace postern::tls {

struct BaseContext {
  SslCtxPtr context;
  std::vector<uint16_t> groups;  // what it accepts, best first, for explanations
};

// MakeBaseContext: TLS 1.2 and 1.3 as Mozilla's "intermediate" configuration has them. The
// callbacks for ClientHello and secrets are the handshake's to add. `ticket_keys` must outlive it.
Result<BaseContext> MakeBaseContext(const shm::TicketKeys& ticket_keys);

}  // namespace postern::tls
