// The client's handshake, with a server behind, on libssl.
#pragma once

#include <memory>
#include <string_view>

#include "postern/tls/handshake.h"
#include "tls/backend_context.h"

namespace postern::tls {

// SetClientCallbacks prepares a context for the handshakes below.
void SetClientCallbacks(SSL_CTX* context, bool verify);

// As ClientContexts::Begin. Never nullptr: what cannot be begun fails at the first Advance.
std::unique_ptr<Handshake> BeginClientHandshake(BackendContextPtr backend,
                                                std::string_view server_name);

}  // namespace postern::tls
