// ClientContexts: what a worker needs to begin TLS towards servers, on one generation.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "postern/base/result.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/settings.h"
#include "postern/tls/handshake.h"

namespace postern::tls {

class ClientContexts {
 public:
  // Makes a context for each back end of `settings` that is spoken to over TLS: a generation whose
  // back ends cannot be verified is refused while it is being prepared. It copies what it needs,
  // our own certificates for servers out of `certificates`.
  static Result<std::shared_ptr<ClientContexts>> Create(
      const generation::Settings& settings, const generation::CertificateIndex& certificates);
  virtual ~ClientContexts() = default;

  // Begin makes a client-side handshake with a server of back end number `backend`, which has TLS.
  // `server_name` (ServerSettings::tls_name) is what its certificate has to be for and, unless it
  // is an address, what is sent as SNI; it may be empty only for a back end that is not verified.
  // Sessions are kept per back end and name, bounded, and resumed. Advance it with no octets for
  // the first flight. It holds what it needs, and so does the Record: this object may go before
  // them.
  //
  // In its facts `sni` is the name that was sent and `peer` the server's certificate; the fields on
  // the certificate that was served are empty.
  virtual std::unique_ptr<Handshake> Begin(uint32_t backend, std::string_view server_name) = 0;
};

}  // namespace postern::tls
