// What the first octets of a connection are, before libssl sees them.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "postern/base/bytes.h"
#include "postern/tls/handshake.h"

namespace postern::tls {

struct FirstBytes {
  enum class Kind : uint8_t { kNeedMore, kTls, kRefused } kind = Kind::kNeedMore;
  HandshakeFailure failure = HandshakeFailure::kNone;  // kRefused
  std::string detail;  // kRefused: one clause with a bounded extract of what came, unescaped
  // kRefused: a record with the alert that the client can read; zeros: it could not read any.
  std::array<unsigned char, 7> alert{};
};

// ClassifyFirstBytes judges all octets that have come so far. kTls means "looks like a TLS record"
// or, with `sslv2_hello`, like a ClientHello in SSLv2's format that asks for TLS: libssl judges the
// rest. `service` (config::ToString) decides which setting is named to whoever wants such clients.
FirstBytes ClassifyFirstBytes(Bytes wire, bool sslv2_hello = false, std::string_view service = {});

// The same for what a server answers to our first flight; `starttls`: in plain text it has promised
// TLS.
FirstBytes ClassifyServerBytes(Bytes wire, bool starttls);

}  // namespace postern::tls
