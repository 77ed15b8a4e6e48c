// The client's handshake. Bytes go to tls::Handshake as they come; what a partial message leaves
// over is kept until more arrives.
#include "postern/session/session.h"

namespace postern::session {

void Session::FeedHandshake(Bytes bytes) {
  heard_ = true;
  const Bytes wire = client_.Joined(bytes);
  const tls::Handshake::Progress progress = handshake_->Advance(wire, io_.scratch);
  if (!io_.scratch.empty()) {
    client_.out().AppendCopy(io_.scratch);
    io_.scratch.clear();
  }
  client_.Keep(wire.subspan(progress.consumed));
  switch (progress.state) {
    case tls::HandshakeState::kNeedMore:
      return;
    case tls::HandshakeState::kEstablished:
      Established();
      return;
    case tls::HandshakeState::kFailed:
      HandshakeFailed();
      return;
  }
}

void Session::Established() {
  client_.Secure(handshake_->TakeRecord());
  facts_ = std::move(handshake_->facts());
  handshake_ = nullptr;  // and with it the certificates
  io_.counters.handshaking.Subtract();
  (facts_.resumed ? io_.counters.handshakes_resumed : io_.counters.handshakes_full).Add();
  BeginConnecting();
  if (!client_.kept()) return;
  // Records that came behind the Finished message.
  std::vector<std::byte> records = client_.TakeKept();
  RelayToBackend(ring::Slot(), records);
}

void Session::HandshakeFailed() {
  CountFailure(handshake_->failure());
  reason_ = handshake_->failure_detail();
  facts_ = std::move(handshake_->facts());
  // An alert is worth waiting for its reader; to someone who does not speak TLS there is nothing to
  // say.
  if (client_.out().empty()) {
    Close(How::kHandshakeFailed, false);
  } else {
    Finish(How::kHandshakeFailed, false);
  }
}

void Session::CountFailure(tls::HandshakeFailure failure) {
  static_assert(tls::kHandshakeFailures <= shm::kFailureKinds);
  failure_ = failure;
  io_.counters.handshakes_failed.Add();
  io_.counters.failures.at(static_cast<size_t>(failure)).Add();
}

}  // namespace postern::session
