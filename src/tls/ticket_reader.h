// TicketReader: libssl, kept behind the small engine for a server's session tickets.
//
// In TLS 1.3 they come after the handshake (RFC 8446 section 4.6.1), and libssl alone can make of
// them what it resumes. Servers send them at once, before any data; so it is shown the records up
// to there and then goes, and the 14 KB with it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "postern/base/bytes.h"
#include "tls/openssl_types.h"
#include "tls/wire_bio.h"

namespace postern::tls {

class TicketReader {
 public:
  // Octets of heap, roughly (measured on OpenSSL 3.0 with its buffers released).
  static constexpr size_t kMemory = 14 * 1024;

  // `ssl` has finished its handshake and reads through `window`; it has opened no record since.
  TicketReader(SslPtr ssl, std::unique_ptr<WireWindow> window);
  ~TicketReader();
  TicketReader(const TicketReader&) = delete;
  TicketReader& operator=(const TicketReader&) = delete;

  // Copy is `record` as it has to be shown to Take; empty when it is too long for tickets.
  static std::vector<std::byte> Copy(Bytes record);
  // Take shows one whole record of handshake messages, each of them in turn. False: enough has been
  // seen, or there is nothing to hope for.
  bool Take(Bytes record);

 private:
  std::unique_ptr<WireWindow> window_;
  SslPtr ssl_;  // after window_: its BIO points there
  unsigned taken_ = 0;
};

// KeepSession marks `ssl` as ended in good order: else libssl takes its session for one that must
// not be resumed when it is freed.
void KeepSession(SSL* ssl);

}  // namespace postern::tls
