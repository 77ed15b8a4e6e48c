// Bytes in both directions; what opens and seals them on the way is SecureStream's business.
#include <fmt/format.h>

#include <algorithm>

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
        if (SendToBackend(plain)) break;
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
        if (SendToClient(plain)) break;
        if (state_ != State::kRelay) return;
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

// --- Through the gate ---

// MakeGate: from here on what is relayed passes through the gate. `dialog`: what the server has
// been spoken to with, if it has.
void Session::MakeGate(const mail::BackendDialog* dialog) {
  const std::optional<mail::DialogProtocol> protocol = DialogProtocolOf(listener().service);
  if (!protocol) return;
  const mail::EhloKeywords* keywords = dialog != nullptr ? dialog->keywords() : nullptr;
  const bool chunking =
      keywords != nullptr && std::ranges::find(*keywords, "CHUNKING") != keywords->end();
  gate_ =
      mail::MakeGate({.protocol = *protocol, .greeted = dialog != nullptr, .chunking = chunking});
}

bool Session::SendToBackend(Plaintext& plain) {
  if (gate_ == nullptr) return backend_.Send(plain);
  std::string before;
  const size_t size = gate_->TakeClient(plain.bytes, before);
  plain.behind += plain.bytes.size() - size;
  plain.bytes = plain.bytes.first(size);
  return backend_.Say(before) && (size == 0 || backend_.Send(plain));
}

// False as well when the session ends here (state_).
bool Session::SendToClient(const Plaintext& plain) {
  return gate_ == nullptr ? client_.Send(plain) : PassToClient(plain.bytes);
}

bool Session::PassToClient(Bytes octets) {
  std::string to_client;
  for (unsigned failed = gate_->TakeServer(octets, to_client); failed > 0; --failed) {
    LogLoginFailed();
  }
  if (gate_->preauth()) {
    reason_ = fmt::format("{}: greets PREAUTH: the client would be logged in unasked", server_);
    if (client_.Say(mail::Reply(protocol(), mail::Occasion::kBackendUnavailable))) client_.End();
    Finish(How::kServerClosed, true);
    return false;
  }
  return client_.Say(to_client) && (!gate_->over() || OpenGate());
}

// OpenGate: from here on octets flow untouched.
bool Session::OpenGate() {
  const std::unique_ptr<mail::Gate> gate = std::move(gate_);
  return backend_.Say(gate->LastOfClient()) && client_.Say(gate->LastOfServer());
}

// What the gate holds back of a side that has said its last.
void Session::EmptyGate(bool server_ended) {
  if (client_done_ && !backend_.end_sent()) backend_.Say(gate_->LastOfClient());
  if (server_ended && !client_.end_sent()) client_.Say(gate_->LastOfServer());
}

// A line for each: programs that ban addresses read the log.
void Session::LogLoginFailed() {
  LogLine(LogLevel::kNotice, "login failed")
      .Field("client", PeerAddress().ToString())
      .Field("listener", listener().name)
      .Field("service", config::ToString(listener().service))
      .Field("server", server_);
  NoteFault(Fault::kLogin);
}

}  // namespace postern::session
