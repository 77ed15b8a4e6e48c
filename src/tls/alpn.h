// ALPN (RFC 7301): a client that was sent here by somebody else's trick, with a request for another
// protocol in hand, must not be served (ALPACA).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"

namespace postern::tls {

// What the client's list of protocols comes to.
struct AlpnChoice {
  enum class Kind : uint8_t {
    kNone,      // go on and name no protocol
    kSelected,  // `protocol` is spoken
    kForeign,   // the client wants something else
  } kind = Kind::kNone;
  std::string_view protocol;
};

// ChooseAlpn judges `offered` (names, each behind an octet of length, as on the wire) for a service
// as config::ToString names it.
AlpnChoice ChooseAlpn(std::string_view service, Bytes offered);

// AlpnServed is what a client has to name, for messages: "imap", "smtp or esmtp".
std::string_view AlpnServed(std::string_view service);

// The names in such a list, each and the list bounded for a log line; what is malformed ends it.
std::vector<std::string> AlpnNames(Bytes offered);

}  // namespace postern::tls
