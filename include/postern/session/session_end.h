// How a connection ended: one value gives the log's `how` and the line's level.
#pragma once

#include <cstdint>
#include <string_view>

#include "postern/base/log.h"

namespace postern::session {

enum class How : uint8_t {
  kOpen,          // not ended
  kClientClosed,  // the client ended first, cleanly
  kServerClosed,  // the back end ended first, cleanly
  kIdleTimeout,
  kNotAProxy,      // the listener is for proxies, and the client is none of them
  kProxyHeader,    // a proxy's header is bad, late or cut off
  kRefused,        // by a limit or a list of networks, behind a proxy's header; logged apart
  kUnread,         // the client read nothing of what was sent to it
  kDialogTimeout,  // TLS was not begun in time
  kDialogRefused,  // the dialog before TLS ended the connection; its end is logged beside
  kHandshakeTimeout,
  kHandshakeFailed,
  kBackendUnreachable,
  kClientReset,
  kServerReset,
  kClientTruncated,  // the client's stream broke off without close_notify
  kDrained,          // Postern stopped
  kError,            // broken TLS records, or no resources
};

std::string_view ToString(How how);  // as the log writes it: "client-closed"
LogLevel LevelOf(How how);

}  // namespace postern::session
