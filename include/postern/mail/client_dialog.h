// ClientDialog: what Postern says to a client in plain text, before TLS, in the words of the
// client's protocol. Octets in and octets out; it knows nothing of sockets or of TLS.
//
// It answers the few commands that make sense before TLS by itself. No back end hears of a client
// that has not left the dialog, and nothing that it heard or said is known after the handshake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"

namespace postern::mail {

// The protocols that have a dialog before TLS.
enum class DialogProtocol : uint8_t {
  kImap,   // RFC 9051 section 6.2.1
  kPop3,   // RFC 2595 section 4
  kSmtp,   // RFC 3207
  kLmtp,   // RFC 2033, RFC 3207
  kSieve,  // RFC 5804 section 2.2
};

struct DialogRules {
  DialogProtocol protocol = DialogProtocol::kSmtp;
  std::string_view host_name;  // what Postern calls itself; must outlive the dialog
  bool require_tls = true;     // commands that need TLS are refused, instead of passed on without
};

// EhloKeywords is what a back end offers in its answer to EHLO: a line each, without "250-", in the
// server's order, as it wrote them.
using EhloKeywords = std::vector<std::string>;

// Why a dialog ended without TLS; decides log line and metric.
enum class DialogEnd : uint8_t {
  kNone,
  kQuit,             // the client said goodbye
  kInjection,        // octets behind STARTTLS, before the handshake (RFC 3207 section 6)
  kLineTooLong,      // beyond limits::kMaxDialogLine
  kTooManyErrors,    // limits::kMaxDialogErrors
  kTooManyCommands,  // limits::kMaxDialogCommands
  kSpokeFirst,       // before the greeting, on a listener that waits for that
  kForeign,          // another protocol: HTTP, or TLS where plain text is spoken first
  kTimeout,          // TLS did not begin in time (the session's to say, as the next two)
  kGone,             // the client went away
  kStopped,          // Postern was stopped meanwhile
};
inline constexpr size_t kDialogEnds = static_cast<size_t>(DialogEnd::kStopped) + 1;
std::string_view ToString(DialogEnd end);  // "injection": for logs and metrics

class ClientDialog {
 public:
  virtual ~ClientDialog() = default;

  enum class Next : uint8_t {
    kMore,      // take more octets from the client
    kKeywords,  // SMTP: EHLO is in; call AnswerEhlo, then Take again
    kStartTls,  // when the reply is out, the handshake begins, and this dialog is over
    kPlain,  // the client goes on without TLS: the back end is told of `hello`, and the octets from
             // `consumed` on are the client's first to it
    kClose,  // when the reply is out, the connection ends; `end` says why
  };
  struct Step {
    Next next = Next::kMore;
    size_t consumed = 0;  // octets of `wire` that need not be offered again
    DialogEnd end = DialogEnd::kNone;
  };

  // Greet appends the greeting.
  virtual void Greet(std::string& reply) = 0;

  // Take reads from `wire` (unconsumed octets of last time first, new ones behind) and appends what
  // is to be sent to `reply`, which must be sent in every case. With kStartTls all of `wire` is
  // consumed: octets behind the command are kInjection instead. Not to be called after kStartTls,
  // kPlain or kClose.
  virtual Step Take(Bytes wire, std::string& reply) = 0;

  // AnswerEhlo answers the EHLO that Take reported, with the back end's keywords less what cannot
  // be passed on, plus STARTTLS; nullptr: they could not be had, and the least is offered.
  virtual void AnswerEhlo(const EhloKeywords* keywords, std::string& reply) = 0;

  // What the client called itself in EHLO, HELO or LHLO, as it came; empty: nothing yet. For the
  // opening of a session that goes on without TLS (BackendRules::replay).
  virtual std::string_view hello() const = 0;
  virtual bool extended_hello() const = 0;  // EHLO or LHLO rather than HELO
};

std::unique_ptr<ClientDialog> MakeClientDialog(const DialogRules& rules);

}  // namespace postern::mail
