// Session tickets: sealed with the keys that all workers share, and bound to where they were given
// out.
#pragma once

#include <cstdint>
#include <string_view>

#include "postern/shm/ticket_keys.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// UseTicketKeys makes every SSL of `context` seal its tickets with `keys`, which must outlive it.
bool UseTicketKeys(SSL_CTX* context, const shm::TicketKeys& keys);

// What UseTicketKeys sets (SSL_CTX_set_tlsext_ticket_key_evp_cb); here so that it can be measured.
// Negative is an error, 0 no (usable) ticket, 1 use it, 2 use it and give a new one.
int TicketKeyCallback(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                      EVP_MAC_CTX* mac, int encrypt);

// SetTickets says whether `ssl` gives and takes tickets, how many it gives in TLS 1.3 (older
// versions have one), and how long one may be used, counted from the handshake that gave it.
bool SetTickets(SSL* ssl, bool enabled, uint32_t count, uint64_t lifetime_s);

// BindSessions lets sessions of `ssl` be resumed only where listener, service and certificate have
// the same names, and the policy the same content: a client that proved itself to one listener, or
// checked one certificate, has done so for that one alone (CVE-2025-23419). A renewed certificate
// keeps its name and its sessions.
// Call it before libssl looks at a ticket, that is, in the ClientHello callback.
bool BindSessions(SSL* ssl, std::string_view listener, std::string_view service,
                  std::string_view certificate, std::string_view policy);

}  // namespace postern::tls
