// The client's handshake. Bytes go to tls::Handshake as they come; what a partial message leaves
// over is kept in input_ until more arrives.
#include "postern/base/limits.h"
#include "postern/session/session.h"

namespace postern::session {

void Session::FeedHandshake(Bytes bytes) {
  heard_ = true;
  Bytes wire = bytes;
  if (!input_.empty()) {
    input_.insert(input_.end(), bytes.begin(), bytes.end());
    wire = input_;
  }
  const tls::Handshake::Progress progress = handshake_->Advance(wire, io_.scratch);
  if (!io_.scratch.empty()) {
    client_.out().AppendCopy(io_.scratch);
    io_.scratch.clear();
  }
  const Bytes rest = wire.subspan(progress.consumed);
  // `rest` may lie in input_, so the new content is made before the old one goes.
  std::vector<std::byte> left(rest.begin(), rest.end());
  input_.swap(left);
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
  record_ = handshake_->TakeRecord();
  facts_ = std::move(handshake_->facts());
  handshake_ = nullptr;  // and with it the certificates
  io_.counters.handshaking.Subtract();
  (facts_.resumed ? io_.counters.handshakes_resumed : io_.counters.handshakes_full).Add();
  BeginConnecting();
  if (input_.empty()) return;
  // Records that came behind the Finished message.
  std::vector<std::byte> records;
  records.swap(input_);
  FeedRecords(ring::Slot(), records);
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
