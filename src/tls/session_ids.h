// Sessions by ID for clients without tickets, TLS 1.2 and below (RFC 5246 section 7.3): libssl's
// callbacks over the cache that all workers share.
#pragma once

#include "postern/shm/session_id_cache.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// UseSessionIds makes every SSL of `context` keep its sessions in `cache`, which must outlive it.
// Sessions that a ticket carries, and those of TLS 1.3, do not go there. What binds a session is
// what binds a ticket (BindSessions in tickets.h).
bool UseSessionIds(SSL_CTX* context, shm::SessionIdCache& cache);

// ForgetSession ends the session that `ssl` wanted to resume: its handshake has failed.
void ForgetSession(const SSL* ssl);

}  // namespace postern::tls
