// Bytes in both directions; what opens and seals them on the way is SecureStream's business.
#include <fmt/format.h>

#include "backend_link.h"
#include "postern/base/log.h"
#include "postern/session/session.h"

namespace postern::session {

void Session::RelayToBackend(const ring::Slot& slot, MutableBytes wire) {
  Plaintext plain;
  while (!client_done_ && (state_ == State::kConnecting || state_ == State::kRelay)) {
    switch (client_.Take(slot, wire, plain)) {
      case SecureStream::Taken::kNothing:
        return;
      case SecureStream::Taken::kData:
        bytes_in_ += plain.bytes.size();
        io_.counters.bytes_from_clients.Add(plain.bytes.size());
        if (link_ != nullptr) {
          link_->from_client.append(AsText(plain.bytes));
          if (state_ == State::kRelay) FeedClientDialog();
          break;
        }
        if (logins_ != nullptr) logins_->TakeClient(plain.bytes);
        if (backend_.Send(plain)) break;
        reason_ = "cannot seal a record for the server";
        Finish(How::kError, true);
        return;
      case SecureStream::Taken::kEnd:
        client_done_ = true;
        return;
      case SecureStream::Taken::kFailed:
        reason_ = plain.failure;
        Finish(How::kError, true);
        return;
    }
  }
}

void Session::RelayToClient(const ring::Slot& slot, MutableBytes wire) {
  Plaintext plain;
  while (!client_.end_sent() && state_ == State::kRelay) {
    switch (backend_.Take(slot, wire, plain)) {
      case SecureStream::Taken::kNothing:
      case SecureStream::Taken::kEnd:  // DecideRelay sees it
        return;
      case SecureStream::Taken::kData:
        bytes_out_ += plain.bytes.size();
        io_.counters.bytes_to_clients.Add(plain.bytes.size());
        HeardFromServer(plain.bytes);
        if (client_.Send(plain)) break;
        reason_ = "cannot seal a record";
        Finish(How::kError, true);
        return;
      case SecureStream::Taken::kFailed:
        reason_ = fmt::format("from the server: {}", plain.failure);
        Finish(How::kError, true);
        return;
    }
  }
}

// WatchLogins: from here on the relayed octets are read, until the client has logged in.
void Session::WatchLogins(bool greeted) {
  const std::optional<mail::DialogProtocol> protocol = DialogProtocolOf(listener().service);
  if (protocol) logins_ = mail::WatchLogins(*protocol, greeted);
}

// HeardFromServer looks for failed logins in what is about to go to the client. A line for each:
// programs that ban addresses read the log.
void Session::HeardFromServer(Bytes octets) {
  if (logins_ == nullptr) return;
  for (unsigned failed = logins_->TakeServer(octets); failed > 0; --failed) {
    LogLine(LogLevel::kNotice, "login failed")
        .Field("client", PeerAddress().ToString())
        .Field("listener", listener().name)
        .Field("service", config::ToString(listener().service))
        .Field("server", server_);
    NoteFault(Fault::kLogin);
  }
  if (logins_->over()) logins_ = nullptr;
}

}  // namespace postern::session
