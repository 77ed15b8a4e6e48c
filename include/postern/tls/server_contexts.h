// ServerContexts: what a worker needs to begin handshakes on one generation. Contexts are made when
// a name is first asked for and bounded in number (limits::kMaxContexts, least recently used
// first).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "postern/base/result.h"
#include "postern/generation/certificate_index.h"
#include "postern/shm/ticket_keys.h"
#include "postern/tls/handshake.h"
#include "postern/tls/policy.h"

namespace postern::tls {

// ListenerPolicy is what a listener asks of TLS.
struct ListenerPolicy {
  // Sessions of one listener (by name and service) do not resume on another (CVE-2025-23419).
  std::string_view listener;
  std::string_view service;
  bool tickets = true;
  // How many a TLS 1.3 handshake gives; two for clients that open two connections.
  uint32_t ticket_count = 2;
  uint64_t ticket_lifetime_s = 86'400;
  // Versions, suites, client certificates; null: the default policy.
  PolicyContextPtr policy = nullptr;
  // Refuses clients that name no host, or one that no certificate has, instead of serving them the
  // default certificate.
  bool strict_sni = false;
};

class ServerContexts : public std::enable_shared_from_this<ServerContexts> {
 public:
  // Makes the default certificate's context at once, so that a generation that cannot serve is
  // refused while it is being prepared. `ticket_keys` must outlive every context and session.
  // What `before` (may be null) has made for certificates that are in this index too, by identity,
  // is taken over, so that a reload of one certificate leaves all others as warm as they were.
  static Result<std::shared_ptr<ServerContexts>> Create(
      generation::CertificateIndexPtr certificates, const shm::TicketKeys& ticket_keys,
      const ServerContexts* before = nullptr);
  virtual ~ServerContexts() = default;

  // Begin makes a server-side handshake. It holds this object (and so the certificates) until it is
  // destroyed; the Record that comes out of it does not. `policy` is copied.
  virtual std::unique_ptr<Handshake> Begin(const ListenerPolicy& policy) = 0;

  virtual size_t contexts() const = 0;  // how many are made at the moment
};

// UseMimalloc makes OpenSSL allocate through mimalloc. Call it first thing in main, before any
// other use of OpenSSL; false when OpenSSL has already allocated. A no-op (true) in sanitizer
// builds.
bool UseMimalloc();

// While a PromptRelease lives, memory that is freed goes back to the system at once and not when
// its neighbourhood is next used, which may be never: for work that takes much memory for a moment.
// One at a time; all threads are affected. Does nothing in sanitizer builds.
class PromptRelease {
 public:
  PromptRelease();
  PromptRelease(const PromptRelease&) = delete;
  PromptRelease& operator=(const PromptRelease&) = delete;
  ~PromptRelease();

 private:
  long delay_ = 0;
};

}  // namespace postern::tls
