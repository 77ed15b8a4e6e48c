// ClientContexts: what a worker needs to begin TLS towards servers, on one generation.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "postern/base/result.h"
#include "postern/generation/settings.h"
#include "postern/tls/handshake.h"

namespace postern::tls {

class ClientContexts {
 public:
  // Makes a context for each back end of `settings` that is spoken to over TLS: a generation whose
  // back ends cannot be verified is refused while it is being prepared. `settings` must outlive it.
  static Result<std::shared_ptr<ClientContexts>> Create(const generation::Settings& settings);
  virtual ~ClientContexts() = default;

  // Begin makes a client-side handshake with a server of back end number `backend`. `server_name`
  // is what its certificate has to be for and, unless it is an address, what is sent as SNI.
  // Sessions are kept per back end and name, bounded, and resumed. Advance it with no octets for
  // the first flight. It holds what it needs.
  virtual std::unique_ptr<Handshake> Begin(uint32_t backend, std::string_view server_name) = 0;
};

}  // namespace postern::tls
