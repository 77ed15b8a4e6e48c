// What the first octets of a connection are, before libssl sees them.
#pragma once

#include <string>

#include "postern/base/bytes.h"
#include "postern/tls/handshake.h"

namespace postern::tls {

struct FirstBytes {
  enum class Kind : uint8_t { kNeedMore, kTls, kRefused } kind = Kind::kNeedMore;
  HandshakeFailure failure = HandshakeFailure::kNone;  // kRefused
  std::string detail;  // kRefused: one clause with a bounded extract of what came, unescaped
};

// ClassifyFirstBytes judges all octets that have come so far. kTls means "looks like a TLS record"
// or, with `sslv2_hello`, like a ClientHello in SSLv2's format that asks for TLS: libssl judges the
// rest.
FirstBytes ClassifyFirstBytes(Bytes wire, bool sslv2_hello = false);

// The same for what a server answers to our first flight; `starttls`: in plain text it has promised
// TLS.
FirstBytes ClassifyServerBytes(Bytes wire, bool starttls);

}  // namespace postern::tls
