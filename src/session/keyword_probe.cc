// A probe goes the way of a session's link (session_link.cc) with the same dialogs, handshakes and
// record layers, and ends where that lets a client through. It is none: it has no client to greet,
// to wait for or to log, and what a session does about its own would be in the way everywhere.
//
// It says goodbye as a client would (QUIT, and the server closes), so that nothing looks like a
// broken connection in the server's log.
#include "postern/session/keyword_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "postern/mail/proxy_header.h"
#include "postern/os/socket.h"

namespace postern::session {
namespace {

// How long the server has to close behind our goodbye.
constexpr uint64_t kPartingMs = 2'000;

std::vector<std::byte> LocalHeader(config::ProxyOut out) {
  std::vector<std::byte> header;
  if (out == config::ProxyOut::kOff) return header;
  mail::WriteLocalProxyHeader(out == config::ProxyOut::kVersion1 ? mail::ProxyFormat::kVersion1
                                                                 : mail::ProxyFormat::kVersion2,
                              header);
  return header;
}

}  // namespace

KeywordProbe::KeywordProbe(const ProbeIo& io, KeywordProbeOwner& owner, ProbeTarget target)
    : io_(io),
      owner_(owner),
      target_(std::move(target)),
      stream_(backend().tls == config::BackendTlsMode::kOff ? io.backends : io.tls_backends, *this),
      timer_(this, [](void* self) { static_cast<KeywordProbe*>(self)->OnTimer(); }) {}

void KeywordProbe::PrepareRules() {
  rules_.protocol = listener().service == config::Service::kLmtp ? mail::DialogProtocol::kLmtp
                                                                 : mail::DialogProtocol::kSmtp;
  rules_.host_name = listener().host_name;
  rules_.starttls = backend().tls == config::BackendTlsMode::kStartTls;
  rules_.greet_client = false;
  rules_.probe = true;
}

// --- Servers, one after another ---

bool KeywordProbe::Begin() {
  PrepareRules();
  for (const generation::ServerSettings& server : backend().servers) {
    if (server.addresses.empty()) {
      reason_ = fmt::format("{}: {}", server.text, server.unresolved_reason);
    }
    for (const os::SocketAddress& address : server.addresses) {
      candidates_.push_back({server.text, &address, server.tls_name});
    }
  }
  // Probes take turns of their own, beside those of the clients. Names have no spaces.
  io_.picker.Order(std::string(backend().name) + " probes", candidates_, io_.now_ms);
  std::reverse(candidates_.begin(), candidates_.end());
  if (TryNextServer()) return true;
  told_ = true;
  return false;
}

bool KeywordProbe::TryNextServer() {
  while (!candidates_.empty()) {
    const relay::Candidate candidate = candidates_.back();
    candidates_.pop_back();
    server_ = candidate.server;
    address_ = candidate.address;
    tls_name_ = candidate.tls_name;
    Result<os::UniqueFd> fd = os::MakeStream(address_->family());
    if (!fd) {
      reason_ = fd.error().what;
      continue;
    }
    if (!stream_.Open(std::move(*fd))) {
      reason_ = "no free place in the descriptor table";
      continue;
    }
    dialog_ = nullptr;
    handshake_ = nullptr;
    from_server_.clear();
    stream_.out().Clear();
    stream_.out().AppendCopy(LocalHeader(backend().proxy));
    stream_.Connect(*address_);
    state_ = State::kConnecting;
    io_.timers.Arm(timer_, io_.now_ms + backend().connect_timeout_ms);
    return true;
  }
  return false;
}

void KeywordProbe::OnConnected(relay::Stream&, int error_number) {
  if (state_ != State::kConnecting) return;
  if (error_number != 0) {
    io_.picker.Failed(*address_, io_.now_ms);
    Fail(ErrnoText(error_number));
    return;
  }
  state_ = State::kTalking;
  io_.timers.Arm(timer_, io_.now_ms + backend().greeting_timeout_ms);
  stream_.WantReceive(true);
  if (backend().tls == config::BackendTlsMode::kImplicit) {
    BeginHandshake();
  } else {
    BeginDialog();
  }
}

// --- What is said ---

void KeywordProbe::BeginHandshake() {
  handshake_ = target_.contexts->Begin(listener().backend, tls_name_);
  FeedHandshake({});
}

void KeywordProbe::BeginDialog() { dialog_ = mail::MakeBackendDialog(rules_); }

void KeywordProbe::OnReceived(relay::Stream&, const ring::Slot& slot, MutableBytes wire) {
  while (state_ == State::kTalking && !wire.empty()) {
    if (handshake_ != nullptr) {
      FeedHandshake(wire);
      return;
    }
    Plaintext plain;
    switch (stream_.Take(slot, wire, plain)) {
      case SecureStream::Taken::kNothing:
      case SecureStream::Taken::kEnd:
        return;
      case SecureStream::Taken::kFailed:
        Fail(plain.failure);
        return;
      case SecureStream::Taken::kData:
        from_server_.append(AsText(plain.bytes));
        FeedDialog();
        break;
    }
  }
  if (state_ != State::kParting) return;
  Plaintext farewell;  // read only for the end behind it
  while (stream_.Take(slot, wire, farewell) == SecureStream::Taken::kData) {
  }
}

void KeywordProbe::FeedHandshake(Bytes bytes) {
  const Bytes wire = stream_.Joined(bytes);
  const tls::Handshake::Progress progress = handshake_->Advance(wire, io_.scratch);
  if (!io_.scratch.empty()) {
    stream_.out().AppendCopy(io_.scratch);
    io_.scratch.clear();
  }
  stream_.Keep(wire.subspan(progress.consumed));
  switch (progress.state) {
    case tls::HandshakeState::kNeedMore:
      return;
    case tls::HandshakeState::kFailed:
      Fail(handshake_->failure_detail());
      return;
    case tls::HandshakeState::kEstablished:
      break;
  }
  std::vector<std::byte> records = stream_.TakeKept();
  stream_.Secure(handshake_->TakeRecord());
  handshake_ = nullptr;
  if (dialog_ == nullptr) {
    BeginDialog();
  } else {
    std::string to_server;
    std::string to_client;
    const mail::BackendDialog::Step step = dialog_->Secured(to_server, to_client);
    TakeStep(step, to_server);
  }
  if (!records.empty()) OnReceived(stream_, ring::Slot(), records);
}

void KeywordProbe::FeedDialog() {
  std::string to_server;
  std::string to_client;  // stays empty: nobody is greeted
  const mail::BackendDialog::Step step =
      dialog_->TakeServer(AsBytes(from_server_), to_server, to_client);
  from_server_.erase(0, step.consumed);
  TakeStep(step, to_server);
}

void KeywordProbe::TakeStep(const mail::BackendDialog::Step& step, const std::string& to_server) {
  if (!stream_.Say(to_server)) {
    Fail("a record for it cannot be sealed");
    return;
  }
  switch (step.next) {
    case mail::BackendDialog::Next::kMore:
      return;
    case mail::BackendDialog::Next::kStartTls:
      BeginHandshake();
      return;
    case mail::BackendDialog::Next::kFailed:
      Fail(dialog_->failure_detail());
      return;
    case mail::BackendDialog::Next::kReady:
      break;
  }
  state_ = State::kParting;
  candidates_.clear();
  io_.timers.Arm(timer_, io_.now_ms + kPartingMs);
  Tell(dialog_->keywords());
}

// --- Ends ---

// Fail leaves this server; the next one is tried when its socket is gone. A TLS alert goes out
// first.
void KeywordProbe::Fail(std::string_view why) {
  reason_ = fmt::format("{}: {}", server_, why);
  if (state_ == State::kTalking && !stream_.flushed()) {
    state_ = State::kParting;
    io_.timers.Arm(timer_, io_.now_ms + kPartingMs);
    return;
  }
  state_ = State::kClosing;
  stream_.Close(false);
}

void KeywordProbe::Tell(const mail::EhloKeywords* keywords) {
  if (told_) return;
  told_ = true;
  owner_.OnProbed(*this, keywords);
}

void KeywordProbe::Stop() {
  told_ = true;
  candidates_.clear();
  state_ = State::kClosing;
  stream_.Close(true);
  // The timer is the one event that is sure to come, should nothing have been in flight.
  io_.timers.Arm(timer_, io_.now_ms);
}

void KeywordProbe::OnStreamSettled(relay::Stream&) { Decide(); }

void KeywordProbe::OnTimer() {
  switch (state_) {
    case State::kConnecting:
      io_.picker.Failed(*address_, io_.now_ms);
      Fail("connect timeout");
      break;
    case State::kTalking:
      state_ = State::kConnecting;  // what is queued need not be waited for
      Fail("does not answer in time");
      break;
    case State::kParting:
      state_ = State::kClosing;
      stream_.Close(false);
      break;
    case State::kClosing:
      break;
  }
  Decide();
}

void KeywordProbe::Decide() {
  if (state_ == State::kTalking) DecideTalking();
  if (state_ == State::kParting) DecideParting();
  stream_.Pump();
  if (state_ != State::kClosing || !stream_.closed()) return;
  io_.timers.Disarm(timer_);
  if (!told_ && TryNextServer()) {
    stream_.Pump();
    return;
  }
  Tell(nullptr);
  owner_.OnProbeGone(*this);  // `this` may be gone
}

void KeywordProbe::DecideTalking() {
  if (!stream_.broken() && !stream_.ended() && !stream_.at_eof()) return;
  const int error = stream_.receive_error() != 0 ? stream_.receive_error() : stream_.send_error();
  state_ = State::kConnecting;  // nobody is there to hear what is queued
  Fail(fmt::format("closed the connection before it was ready{}{}", error != 0 ? ": " : "",
                   error != 0 ? ErrnoText(error) : std::string()));
}

void KeywordProbe::DecideParting() {
  const bool failed = !told_;  // then nothing of the server's is waited for
  const bool ended = stream_.ended() || stream_.at_eof();
  if (ended && !failed) stream_.End();
  if (!stream_.broken() && !(stream_.flushed() && (failed || ended))) return;
  state_ = State::kClosing;
  stream_.Close(false);
}

}  // namespace postern::session
