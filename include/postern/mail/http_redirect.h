// RedirectToHttps: the answer to a plain HTTP request that came where TLS is spoken: the same
// address with https. Octets in, octets out.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/base/bytes.h"

namespace postern::mail {

struct RedirectRules {
  uint16_t port = 443;  // where the client has to come again: the listener's
  // For requests without a Host (HTTP/1.0 may leave it out); empty: they are refused.
  std::string_view host_name;
  // The current time, for the Date that RFC 9110 section 6.6.1 wants of who has a clock.
  std::optional<std::chrono::sys_seconds> now;
};

struct HttpRedirect {
  enum class State : uint8_t {
    kNeedMore,  // the request's head has not ended
    kRedirect,  // 301 for GET and HEAD; 308 for all else, which keeps method and body
    kRefused,   // 400; 431 when the head is longer than limits::kMaxHttpHead
  } state = State::kNeedMore;
  std::string reply;  // whole; when it is out the connection ends. Empty with kNeedMore
};

// `wire` is all that the client has said so far. A verdict once given does not change with what
// follows. The address is the client's own: its Host, and its path; nothing of them gets anywhere
// but into Location, and there only what may stand in an address.
HttpRedirect RedirectToHttps(Bytes wire, const RedirectRules& rules);

}  // namespace postern::mail
