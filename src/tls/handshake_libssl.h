// The handshake engine on libssl.
#pragma once

#include <memory>

#include "postern/tls/handshake.h"
#include "postern/tls/server_contexts.h"
#include "tls/contexts.h"

namespace postern::tls {

// SetHandshakeCallbacks prepares a policy's context for the handshakes below; call it last.
void SetHandshakeCallbacks(SSL_CTX* context);

// Never nullptr: without memory the handshake fails at the first Advance.
std::unique_ptr<Handshake> BeginLibsslHandshake(std::shared_ptr<Contexts> contexts,
                                                const ListenerPolicy& policy);

}  // namespace postern::tls
