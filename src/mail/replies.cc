// The replies are constants: whatever they would tell about the inside (which server, why) belongs
// into the log, not to a stranger.
#include "postern/mail/replies.h"

namespace postern::mail {
namespace {

std::string_view BackendUnavailable(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE [UNAVAILABLE] The mail server cannot be reached, please try again later\r\n";
    case Protocol::kPop3:
      return "-ERR [SYS/TEMP] The mail server cannot be reached, please try again later\r\n";
    case Protocol::kSmtp:
      return "421 4.4.1 The mail server cannot be reached, please try again later\r\n";
    case Protocol::kSieve:
      return "BYE (TRYLATER) \"The mail server cannot be reached, please try again later\"\r\n";
    case Protocol::kHttp:
      return "HTTP/1.1 502 Bad Gateway\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: 59\r\n"
             "Cache-Control: no-store\r\n"
             "Connection: close\r\n"
             "\r\n"
             "The web server cannot be reached, please try again later.\r\n";
    case Protocol::kRaw:
      return {};
  }
  return {};
}

std::string_view Shutdown(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE Server is shutting down\r\n";
    case Protocol::kPop3:
      return "-ERR [SYS/TEMP] Server is shutting down\r\n";
    case Protocol::kSmtp:
      return "421 4.3.2 Server is shutting down\r\n";
    case Protocol::kSieve:
      return "BYE (TRYLATER) \"Server is shutting down\"\r\n";
    case Protocol::kHttp:
    case Protocol::kRaw:
      return {};
  }
  return {};
}

std::string_view Idle(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE Disconnected for inactivity\r\n";
    case Protocol::kSmtp:
      return "421 4.4.2 Disconnected for inactivity\r\n";
    case Protocol::kSieve:
      return "BYE \"Disconnected for inactivity\"\r\n";
    case Protocol::kPop3:
    case Protocol::kHttp:
    case Protocol::kRaw:
      return {};
  }
  return {};
}

// Only SMTP clients have a rule to wait for (RFC 5321 section 4.3.1) and are put to that test.
std::string_view SpokeFirst(Protocol protocol) {
  return protocol == Protocol::kSmtp ? "554 5.5.0 You spoke before the greeting\r\n"
                                     : std::string_view();
}

std::string_view DialogTimeout(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE STARTTLS did not come in time\r\n";
    case Protocol::kPop3:
      return "-ERR STLS did not come in time\r\n";
    case Protocol::kSmtp:
      return "421 4.4.2 STARTTLS did not come in time\r\n";
    case Protocol::kSieve:
      return "BYE \"STARTTLS did not come in time\"\r\n";
    case Protocol::kHttp:
    case Protocol::kRaw:
      return {};
  }
  return {};
}

}  // namespace

std::string_view Reply(Protocol protocol, Occasion occasion) {
  switch (occasion) {
    case Occasion::kBackendUnavailable:
      return BackendUnavailable(protocol);
    case Occasion::kShutdown:
      return Shutdown(protocol);
    case Occasion::kIdle:
      return Idle(protocol);
    case Occasion::kSpokeFirst:
      return SpokeFirst(protocol);
    case Occasion::kDialogTimeout:
      return DialogTimeout(protocol);
  }
  return {};
}

}  // namespace postern::mail
