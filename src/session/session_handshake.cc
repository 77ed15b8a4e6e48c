// The client's handshake. Bytes go to tls::Handshake as they come; what a partial message leaves
// over is kept until more arrives.
#include "postern/base/check.h"
#include "postern/session/session.h"

namespace postern::session {

std::unique_ptr<tls::Handshake> Session::MakeHandshake(tls::ServerContexts& contexts,
                                                       tls::PolicyContextPtr policy) {
  return contexts.Begin({.listener = listener().name,
                         .service = config::ToString(listener().service),
                         .tickets = settings_->tickets_enabled(),
                         .ticket_count = settings_->ticket_count(),
                         .ticket_lifetime_s = settings_->ticket_lifetime_s(),
                         .policy = std::move(policy),
                         .strict_sni = listener().strict_sni});
}

void Session::BeginHandshake() {
  // Nothing that came in plain text may be there for TLS to find.
  POSTERN_CHECK(!client_.kept());
  tls_ = TlsKind::kImplicit;
  if (opening_ != nullptr) {
    if (opening_->starting_tls) tls_ = TlsKind::kStartTls;
    handshake_ = MakeHandshake(*opening_->contexts, std::move(opening_->policy));
    opening_ = nullptr;  // and with it the dialog
  }
  heard_ = false;
  state_ = State::kHandshake;
  const uint64_t first_byte_ms = listener().first_byte_timeout_ms;
  io_.timers.Arm(
      timer_, io_.now_ms + (first_byte_ms != 0 ? first_byte_ms : listener().handshake_timeout_ms));
}

void Session::FeedHandshake(Bytes bytes) {
  // Once: a drip of octets extends nothing.
  if (!heard_ && listener().first_byte_timeout_ms != 0) {
    io_.timers.Arm(timer_, io_.now_ms + listener().handshake_timeout_ms);
  }
  heard_ = true;
  const Bytes wire = client_.Joined(bytes);
  const tls::Handshake::Progress progress = handshake_->Advance(wire, io_.scratch);
  if (!io_.scratch.empty()) {
    client_.out().AppendCopy(io_.scratch);
    io_.scratch.clear();
  }
  if (progress.state == tls::HandshakeState::kFailed &&
      handshake_->failure() == tls::HandshakeFailure::kPlainHttp &&
      listener().service == config::Service::kHttp) {
    BeginRedirect(wire);
    return;
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
  NoLongerHandshaking();
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

void Session::NoLongerHandshaking() {
  if (handshaking_) io_.counters.handshaking.Subtract();
  hold_.EndHandshake();
  handshaking_ = false;
}

void Session::CountFailure(tls::HandshakeFailure failure) {
  static_assert(tls::kHandshakeFailures <= shm::kFailureKinds);
  failure_ = failure;
  io_.counters.handshakes_failed.Add();
  io_.counters.failures.at(static_cast<size_t>(failure)).Add();
  if (IsFault(failure)) NoteFault(Fault::kHandshake);
}

// Whether the client has to answer for it. Not who only looked whether somebody is there, or typed
// http:// where TLS is spoken.
bool Session::IsFault(tls::HandshakeFailure failure) const {
  switch (failure) {
    case tls::HandshakeFailure::kNone:
    case tls::HandshakeFailure::kServerCertificateRefused:
    case tls::HandshakeFailure::kServerNameMismatch:
    case tls::HandshakeFailure::kInternal:
    case tls::HandshakeFailure::kStopped:
      return false;
    case tls::HandshakeFailure::kGone:
      return heard_;
    case tls::HandshakeFailure::kPlainHttp:
      return listener().service != config::Service::kHttp;
    case tls::HandshakeFailure::kPlainText:
    case tls::HandshakeFailure::kSslv2:
    case tls::HandshakeFailure::kNotTls:
    case tls::HandshakeFailure::kNoSharedVersion:
    case tls::HandshakeFailure::kNoSharedCipher:
    case tls::HandshakeFailure::kNoSharedGroup:
    case tls::HandshakeFailure::kNoCertificate:
    case tls::HandshakeFailure::kNoApplicationProtocol:
    case tls::HandshakeFailure::kClientCertificateMissing:
    case tls::HandshakeFailure::kClientCertificateRefused:
    case tls::HandshakeFailure::kPeerAlert:
    case tls::HandshakeFailure::kTooLarge:
    case tls::HandshakeFailure::kProtocol:
    case tls::HandshakeFailure::kTimeout:
      return true;
  }
  return false;
}

void Session::NoteFault(Fault fault) {
  if (io_.admission != nullptr) io_.admission->Failed(hold_, *settings_, PeerAddress(), fault);
}

}  // namespace postern::session
