// Gate stands between a client and its server once both speak with each other, and keeps from the
// server what is Postern's alone to say: who the client is (XCLIENT, XFORWARD, RCPT's parameter
// XRCPTFORWARD) and that TLS begins (STARTTLS, STLS). It also counts failed logins. Octets in and
// octets out.
//
// It stands until a login has succeeded; in SMTP and LMTP, where nobody need log in, as long as the
// connection, and there a mail's octets pass as they are.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "postern/base/bytes.h"
#include "postern/mail/client_dialog.h"

namespace postern::mail {

struct GateRules {
  DialogProtocol protocol = DialogProtocol::kSmtp;
  bool greeted = false;   // the server's greeting is not among the octets
  bool chunking = false;  // SMTP and LMTP: the server is known to offer CHUNKING (RFC 3030)
};

class Gate {
 public:
  virtual ~Gate() = default;

  // TakeClient looks at what the client said, in its order and cut anywhere. A command that is not
  // to reach the server is overwritten where it lies, by octets that are a command to nobody: so
  // the server itself answers it, in its place among other answers. Appends to `before` what was
  // held back of earlier octets and goes ahead of these; returns how many of these may go now. The
  // rest is held back: less than the name of a command, until it is known what it is.
  virtual size_t TakeClient(MutableBytes octets, std::string& before) = 0;

  // TakeServer looks at what the server said, an answer after what it answers, and appends what the
  // client is to hear. Returns how many logins failed by it.
  virtual unsigned TakeServer(Bytes octets, std::string& to_client) = 0;

  // What is held back of what a side said, when it says no more or the gate is over.
  virtual std::string LastOfClient() = 0;
  virtual std::string LastOfServer() = 0;

  // A login has succeeded: from here on octets need not pass through the gate.
  virtual bool over() const = 0;
  // IMAP: the server greeted PREAUTH, which has not been passed on: the client would act as
  // whomever the server takes Postern for (RFC 9051 section 7.1.4).
  virtual bool preauth() const = 0;
};

std::unique_ptr<Gate> MakeGate(const GateRules& rules);

}  // namespace postern::mail
