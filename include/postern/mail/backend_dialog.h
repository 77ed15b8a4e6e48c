// BackendDialog: what Postern says to a mail server before a client's octets may flow: STARTTLS,
// who the client is, and what of the server's first words the client is to hear. Octets in and
// octets out; it knows nothing of sockets or of TLS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "postern/base/bytes.h"
#include "postern/mail/client_dialog.h"

namespace postern::mail {

// Who the client is, for the server (Postfix's XCLIENT_README; Dovecot's x-originating-ip). Empty
// texts are not told. Whatever they hold is encoded as the protocol says: no line end gets through.
struct ClientIdentity {
  std::string_view address;  // numeric, IPv4 or IPv6 without brackets
  uint16_t port = 0;
  std::string_view local_address;  // what it connected to
  uint16_t local_port = 0;
  std::string_view hello;  // of a session without TLS: what it said in EHLO
  // The user that the client has proved to be: servers take it for logged in (SMTP). A server that
  // cannot be told it fails.
  std::string_view login;
  std::string_view session_id;  // the same as in our log
};

// All texts are borrowed and must outlive the dialog.
struct BackendRules {
  DialogProtocol protocol = DialogProtocol::kSmtp;
  std::string_view host_name;  // what Postern calls itself in EHLO
  bool starttls = false;       // ask the server for TLS first
  bool identify = false;       // XCLIENT (SMTP, LMTP, POP3) or ID (IMAP); refused: the server fails
  ClientIdentity client;       // with `identify`
  // Whether the client waits for the server's first words: its own TLS was implicit, or there is
  // none; and a ManageSieve client after STARTTLS, which is then told the capabilities unasked (RFC
  // 5804 section 2.2). False: ClientDialog has greeted it, and the server's greeting is swallowed.
  bool greet_client = true;
  // SMTP and LMTP: in the answer to the client's first EHLO what cannot be passed on (STARTTLS,
  // XCLIENT) is left out. IMAP and ManageSieve: STARTTLS in the greeting, as in every greeting that
  // a dialog passes on.
  bool filter_ehlo = false;
  // A session that goes on without TLS: "EHLO name" is said in the client's place, and the answer
  // swallowed. Empty: nothing.
  std::string_view replay;
  // SMTP and LMTP: ask for EHLO's keywords, and end: no client is there (BackendDialog::keywords).
  bool probe = false;
};

// Why a server cannot be used; the words are in BackendDialog::failure_detail.
enum class BackendFailure : uint8_t {
  kNone,
  kRefused,        // says that it does not serve (421, 554, -ERR, BYE)
  kPreauth,        // IMAP: greets PREAUTH, as whoever is not the client (RFC 9051 section 7.1.4)
  kNoStartTls,     // does not offer it, or refuses
  kInjection,      // octets behind the answer to STARTTLS, before the handshake
  kNotIdentified,  // will not hear who the client is
  kProtocol,       // what it says is not its protocol, or too long
  kClientRefused,  // will not have this client: its words are for the client, and no other server's
                   // answer would be better. The server itself is well
};

class BackendDialog {
 public:
  virtual ~BackendDialog() = default;

  enum class Next : uint8_t {
    kMore,      // take more octets, from either side
    kStartTls,  // when what is for the server is out, the handshake begins; then call Secured
    kReady,     // when what is for either side is out, all octets flow untouched
    kFailed,    // `failure`; with kClientRefused what is for the client is to be said to it
  };
  struct Step {
    Next next = Next::kMore;
    size_t consumed = 0;  // octets that need not be offered again
    BackendFailure failure = BackendFailure::kNone;
  };

  // TakeServer reads what the server said (unconsumed octets of last time first) and appends what
  // is for the server and for the client; both must be sent. With kReady the octets from `consumed`
  // on are the client's. Not to be called after kReady or kFailed, nor between kStartTls and
  // Secured.
  virtual Step TakeServer(Bytes wire, std::string& to_server, std::string& to_client) = 0;

  // Secured: TLS with the server stands.
  virtual Step Secured(std::string& to_server, std::string& to_client) = 0;

  // Whether the client's octets are wanted now. Until then they stay where they are, unread. Once
  // they have been wanted, the client has been greeted: there is no way to another server.
  virtual bool wants_client() const = 0;
  // TakeClient reads what the client said, when it is wanted; as TakeServer, and with kReady the
  // octets from `consumed` on are the server's.
  virtual Step TakeClient(Bytes wire, std::string& to_server, std::string& to_client) = 0;

  // What the server answered to EHLO last, when it did: to be learned. nullptr: nothing yet.
  virtual const EhloKeywords* keywords() const = 0;
  // One clause in words for the log, about the server: "does not offer STARTTLS". ASCII without
  // control characters, bounded.
  virtual const std::string& failure_detail() const = 0;
};

// nullptr when there is nothing to be said: octets flow from the first one on.
std::unique_ptr<BackendDialog> MakeBackendDialog(const BackendRules& rules);

}  // namespace postern::mail
