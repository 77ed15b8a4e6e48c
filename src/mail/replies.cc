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

std::string_view TooManyConnections(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE [UNAVAILABLE] Too many connections, please try again later\r\n";
    case Protocol::kPop3:
      return "-ERR [SYS/TEMP] Too many connections, please try again later\r\n";
    case Protocol::kSmtp:
      return "421 4.7.0 Too many connections, please try again later\r\n";
    case Protocol::kSieve:
      return "BYE (TRYLATER) \"Too many connections, please try again later\"\r\n";
    case Protocol::kHttp:
      return "HTTP/1.1 503 Service Unavailable\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: 47\r\n"
             "Cache-Control: no-store\r\n"
             "Retry-After: 30\r\n"
             "Connection: close\r\n"
             "\r\n"
             "Too many connections, please try again later.\r\n";
    case Protocol::kRaw:
      return {};
  }
  return {};
}

std::string_view TooManyFailures(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE [UNAVAILABLE] Too many failures from your address, please try again later\r\n";
    case Protocol::kPop3:
      return "-ERR [SYS/TEMP] Too many failures from your address, please try again later\r\n";
    case Protocol::kSmtp:
      return "421 4.7.0 Too many failures from your address, please try again later\r\n";
    case Protocol::kSieve:
      return "BYE (TRYLATER) \"Too many failures from your address, please try again later\"\r\n";
    case Protocol::kHttp:
      return "HTTP/1.1 429 Too Many Requests\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: 62\r\n"
             "Cache-Control: no-store\r\n"
             "Retry-After: 60\r\n"
             "Connection: close\r\n"
             "\r\n"
             "Too many failures from your address, please try again later.\r\n";
    case Protocol::kRaw:
      return {};
  }
  return {};
}

std::string_view Denied(Protocol protocol) {
  switch (protocol) {
    case Protocol::kImap:
      return "* BYE Your address may not connect here\r\n";
    case Protocol::kPop3:
      return "-ERR [SYS/PERM] Your address may not connect here\r\n";
    case Protocol::kSmtp:
      return "554 5.7.1 Your address may not connect here\r\n";
    case Protocol::kSieve:
      return "BYE \"Your address may not connect here\"\r\n";
    case Protocol::kHttp:
      return "HTTP/1.1 403 Forbidden\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: 36\r\n"
             "Cache-Control: no-store\r\n"
             "Connection: close\r\n"
             "\r\n"
             "Your address may not connect here.\r\n";
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
    case Occasion::kTooManyConnections:
      return TooManyConnections(protocol);
    case Occasion::kTooManyFailures:
      return TooManyFailures(protocol);
    case Occasion::kDenied:
      return Denied(protocol);
  }
  return {};
}

}  // namespace postern::mail
