// LoginWatch reads along what a client and its server say until a login succeeds, and counts those
// that fail. It changes nothing of what they say and holds up nothing: octets in, a number out.
#pragma once

#include <memory>

#include "postern/base/bytes.h"
#include "postern/mail/client_dialog.h"

namespace postern::mail {

class LoginWatch {
 public:
  virtual ~LoginWatch() = default;

  // What each side said, in its order and cut anywhere; an answer after what it answers.
  virtual void TakeClient(Bytes octets) = 0;
  // TakeServer returns how many logins failed by what the server said.
  virtual unsigned TakeServer(Bytes octets) = 0;
  // A login has succeeded. There is nothing more to be learned, and the watch need not be asked
  // again.
  virtual bool over() const = 0;
};

// WatchLogins makes a watch for a connection that begins. `greeted`: the server's greeting is not
// among the octets. nullptr where there are no logins (LMTP).
std::unique_ptr<LoginWatch> WatchLogins(DialogProtocol protocol, bool greeted);

}  // namespace postern::mail
