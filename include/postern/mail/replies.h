// What Postern itself says to a client, in the words of the client's protocol, when the mail server
// behind it cannot.
#pragma once

#include <cstdint>
#include <string_view>

namespace postern::mail {

// The protocols that have words of their own; a raw service has none.
enum class Protocol : uint8_t { kImap, kPop3, kSmtp, kSieve, kHttp, kRaw };

enum class Occasion : uint8_t {
  kBackendUnavailable,  // nothing has been said yet: the reply stands in for the greeting
  kShutdown,            // the connection is ended because Postern stops
  kIdle,                // the connection is ended because nobody spoke for too long
  kSpokeFirst,          // SMTP: the client spoke before the greeting, which this stands in for
  kDialogTimeout,       // the client did not leave the dialog before TLS in time
  // In the place of the greeting, or of the answer to a web client's first request:
  kTooManyConnections,  // from the client's address, or to the listener
  kTooManyFailures,     // from the client's address, which has to pause
  kDenied,              // the client's address may not come here
};

// Reply is the whole text, line ends included; empty where the protocol wants silence. Static
// storage.
//   IMAP  RFC 9051 section 7.1.5 (BYE), RFC 5530 ([UNAVAILABLE])
//   POP3  RFC 1939 section 3 (no word at autologout), RFC 3206 ([SYS/TEMP])
//   SMTP  RFC 5321 section 3.1 (554), 3.8 and 4.2.2 (421), RFC 3463 (enhanced codes; X.7.0, X.7.1)
//   Sieve RFC 5804 section 1.3 and 2.3 (BYE, TRYLATER)
//   HTTP  RFC 9110 section 15.5.4 (403), 15.6.3 (502), 15.6.4 (503), RFC 6585 section 4 (429);
//   never
//         in mid-connection, where it would join another reply
std::string_view Reply(Protocol protocol, Occasion occasion);

}  // namespace postern::mail
