// What the TLS benchmarks share: a server with one certificate, and a client of libssl's in memory.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "key_kinds.h"
#include "postern/base/bytes.h"
#include "postern/shm/ticket_keys.h"
#include "postern/tls/server_contexts.h"

namespace postern::bench {

// The server with one certificate of this kind; all have the same ticket keys. Made once.
std::shared_ptr<tls::ServerContexts> ServerOf(KeyKind kind);
// The ticket keys of all servers.
const shm::TicketKeys& Keys();

inline const tls::ListenerPolicy kPolicy = {.listener = "imaps", .service = "imap"};

// Client is the other end of one handshake.
class Client {
 public:
  // `version` is TLS1_2_VERSION or TLS1_3_VERSION; `session` (may be null) is offered for
  // resumption.
  Client(int version, SSL_SESSION* session);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Step takes what the server sent and returns what goes to it.
  std::vector<std::byte> Step(Bytes from_server);
  // The session to resume next time; the caller frees it. Null when the server gave none.
  SSL_SESSION* TakeSession();
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  // Whether the connection has this version, and the server this key.
  bool Sees(int version, KeyKind kind) const;
  const char* cipher() const;
  std::vector<std::byte> PeerCertificate() const;  // DER
  // Seals application data as the client, and opens what the server sealed.
  std::vector<std::byte> Write(Bytes plain);
  std::vector<std::byte> Read(Bytes wire);

 private:
  SSL* ssl_;
};

// Carries a handshake through; returns the record layer, or null when it failed. The processor's
// time spent in the server alone is added to `server_seconds`.
std::unique_ptr<tls::Record> Connect(tls::ServerContexts& server, Client& client,
                                     double& server_seconds);

}  // namespace postern::bench
