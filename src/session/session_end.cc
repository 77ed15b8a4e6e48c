// The names of the ends of a connection; docs/logging.md explains them to administrators.
#include "postern/session/session_end.h"

namespace postern::session {

std::string_view ToString(How how) {
  switch (how) {
    case How::kOpen:
      return "open";
    case How::kClientClosed:
      return "client-closed";
    case How::kServerClosed:
      return "server-closed";
    case How::kIdleTimeout:
      return "idle-timeout";
    case How::kNotAProxy:
      return "not-a-proxy";
    case How::kProxyHeader:
      return "proxy-header";
    case How::kRefused:
      return "refused";
    case How::kUnread:
      return "unread";
    case How::kDialogTimeout:
      return "dialog-timeout";
    case How::kDialogRefused:
      return "dialog-refused";
    case How::kHandshakeTimeout:
      return "handshake-timeout";
    case How::kHandshakeFailed:
      return "handshake-failed";
    case How::kBackendUnreachable:
      return "backend-unreachable";
    case How::kClientReset:
      return "client-reset";
    case How::kServerReset:
      return "server-reset";
    case How::kClientTruncated:
      return "client-truncated";
    case How::kDrained:
      return "drained";
    case How::kError:
      return "error";
  }
  return "unknown";
}

LogLevel LevelOf(How how) {
  // What the administrator must mend stands out; what strangers do does not.
  return how == How::kBackendUnreachable || how == How::kProxyHeader || how == How::kError
             ? LogLevel::kWarning
             : LogLevel::kInfo;
}

}  // namespace postern::session
