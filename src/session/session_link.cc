// What comes between connecting and relaying: a PROXY header, TLS, and the dialog in which the
// server is asked for TLS and told who the client is.
//
// Until the server is ready it can be replaced by the next one: nothing of the client has reached
// it, and it has said nothing to the client. The client's octets wait, in plain text, since another
// server has other keys. When the dialog wants to hear the client, there is no way back.
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <span>

#include "backend_link.h"
#include "postern/base/check.h"
#include "postern/session/session.h"

namespace postern::session {
namespace {

// Not told apart here, the server would see ::ffff:192.0.2.1 and find it in no list.
os::SocketAddress AddressOf(const std::array<std::byte, 28>& octets) {
  const auto* address = reinterpret_cast<const sockaddr*>(octets.data());
  return {address, static_cast<socklen_t>(address->sa_family == AF_INET ? sizeof(sockaddr_in)
                                                                        : sizeof(sockaddr_in6))};
}

// A name with control characters is nobody's: some server would take it for another one.
std::string LoginOf(const tls::HandshakeFacts& facts, config::LoginSource source) {
  if (facts.peer == nullptr || !facts.peer->verified) return {};
  std::string login;
  switch (source) {
    case config::LoginSource::kNone:
      return {};
    case config::LoginSource::kCommonName:
      login = facts.peer->common_name;
      break;
    case config::LoginSource::kEmail:
      login = facts.peer->email;
      break;
  }
  const bool plain = std::ranges::none_of(
      login, [](char octet) { return static_cast<unsigned char>(octet) < ' ' || octet == '\x7F'; });
  return plain ? login : std::string();
}

MutableBytes AsWritable(std::string& text) { return std::as_writable_bytes(std::span(text)); }

}  // namespace

// PrepareLink decides whether there is anything to be said before octets flow.
void Session::PrepareLink() {
  const generation::BackendSettings& backend = settings_->backends()[listener().backend];
  const std::shared_ptr<tls::ClientContexts> contexts = std::move(client_contexts_);
  const std::unique_ptr<Introduction> introduction = std::move(introduction_);
  const std::optional<mail::DialogProtocol> protocol = DialogProtocolOf(listener().service);
  const bool starttls = backend.tls == config::BackendTlsMode::kStartTls;
  // ClientDialog has greeted it; it goes on with TLS, or without.
  const bool greeted = tls_ == TlsKind::kStartTls || introduction != nullptr;
  const bool dialog = protocol && (starttls || backend.identify_clients || greeted);
  if (!dialog && backend.tls == config::BackendTlsMode::kOff) return;
  link_ = std::make_unique<BackendLink>();
  BackendLink& link = *link_;
  if (backend.tls != config::BackendTlsMode::kOff) {
    POSTERN_CHECK(contexts != nullptr);  // or it would be spoken to in plain text
    link.contexts = contexts;
  }
  if (!dialog) return;
  link.has_dialog = true;
  link.rules.protocol = *protocol;
  link.rules.host_name = listener().host_name;
  link.rules.starttls = starttls;
  const bool sieve = *protocol == mail::DialogProtocol::kSieve;
  link.rules.greet_client = !greeted || (sieve && introduction == nullptr);
  link.rules.filter_ehlo = true;
  if (introduction != nullptr && !introduction->name.empty()) {
    const std::string_view verb = !introduction->extended                    ? "HELO "
                                  : *protocol == mail::DialogProtocol::kLmtp ? "LHLO "
                                                                             : "EHLO ";
    link.hello = introduction->name;
    link.replay = std::string(verb) + introduction->name;
    link.rules.replay = link.replay;
  }
  if (!backend.identify_clients) return;
  const os::SocketAddress peer = AddressOf(peer_);
  link.address = peer.IpString();
  link.local_address = proxied_->local.IpString();
  // Behind a proxy that ended the client's TLS, a certificate is the proxy's.
  if (!proxied_->tls_ended) link.login = LoginOf(facts_, backend.identify_login);
  link.session_id = ConnectionId();
  link.rules.identify = true;
  link.rules.client = {.address = link.address,
                       .port = peer.port(),
                       .local_address = link.local_address,
                       .local_port = proxied_->local.port(),
                       .hello = link.hello,
                       .login = link.login,
                       .session_id = link.session_id};
}

// BeginLink: the server is connected. From here on it has the time of greeting_timeout for all that
// is to be said: servers that make spammers wait (Postfix's postscreen_greet_wait: 6 s) have not
// failed.
void Session::BeginLink() {
  link_->connected = true;
  const generation::BackendSettings& backend = settings_->backends()[listener().backend];
  io_.timers.Arm(timer_, io_.now_ms + backend.greeting_timeout_ms);
  backend_.WantReceive(true);
  if (link_->contexts != nullptr && !link_->rules.starttls) {
    BeginServerHandshake();
  } else {
    BeginServerDialog();
  }
}

void Session::BeginServerHandshake() {
  POSTERN_CHECK(!backend_.kept());
  link_->handshake = link_->contexts->Begin(listener().backend, tls_name_);
  FeedServerHandshake({});
}

void Session::BeginServerDialog() {
  if (link_->has_dialog) link_->dialog = mail::MakeBackendDialog(link_->rules);
  if (link_->dialog == nullptr) LetThrough();
}

void Session::FeedServer(const ring::Slot& slot, MutableBytes wire) {
  while (link_ != nullptr && !link_->failed && !wire.empty()) {
    if (!link_->connected) return;
    if (link_->handshake != nullptr) {
      FeedServerHandshake(wire);
      return;
    }
    Plaintext plain;
    switch (backend_.Take(slot, wire, plain)) {
      case SecureStream::Taken::kNothing:
      case SecureStream::Taken::kEnd:
        return;
      case SecureStream::Taken::kFailed:
        LinkFailed(mail::BackendFailure::kProtocol, plain.failure, {});
        return;
      case SecureStream::Taken::kData:
        link_->from_server.append(AsText(plain.bytes));
        FeedServerDialog();
        break;
    }
  }
  if (link_ == nullptr && state_ == State::kRelay) RelayToClient(slot, wire);
}

void Session::FeedServerHandshake(Bytes bytes) {
  const Bytes wire = backend_.Joined(bytes);
  const tls::Handshake::Progress progress = link_->handshake->Advance(wire, io_.scratch);
  if (!io_.scratch.empty()) {
    backend_.out().AppendCopy(io_.scratch);
    io_.scratch.clear();
  }
  backend_.Keep(wire.subspan(progress.consumed));
  switch (progress.state) {
    case tls::HandshakeState::kNeedMore:
      return;
    case tls::HandshakeState::kFailed:
      LinkFailed(mail::BackendFailure::kNoStartTls, link_->handshake->failure_detail(), {});
      return;
    case tls::HandshakeState::kEstablished:
      break;
  }
  std::vector<std::byte> records = backend_.TakeKept();
  backend_.Secure(link_->handshake->TakeRecord());
  link_->handshake = nullptr;
  link_->secured = true;
  if (link_->dialog == nullptr) {
    BeginServerDialog();
  } else {
    std::string to_server;
    std::string to_client;
    const mail::BackendDialog::Step step = link_->dialog->Secured(to_server, to_client);
    if (TakeLinkStep(step, to_server, to_client)) HearClient();
  }
  if (records.empty()) return;
  if (link_ != nullptr && !link_->failed) {
    FeedServer(ring::Slot(), records);
  } else if (state_ == State::kRelay) {
    RelayToClient(ring::Slot(), records);
  }
}

void Session::FeedServerDialog() {
  BackendLink& link = *link_;
  std::string to_server;
  std::string to_client;
  const mail::BackendDialog::Step step =
      link.dialog->TakeServer(AsBytes(link.from_server), to_server, to_client);
  link.from_server.erase(0, step.consumed);
  if (!TakeLinkStep(step, to_server, to_client)) return;
  if (step.next == mail::BackendDialog::Next::kStartTls) {
    BeginServerHandshake();
    return;
  }
  HearClient();
}

// HearClient turns to the client once the dialog wants it: it has been greeted, so the server is
// the one.
void Session::HearClient() {
  if (!link_->dialog->wants_client()) return;
  if (state_ == State::kConnecting) ServerReady();
  FeedClientDialog();
}

void Session::FeedClientDialog() {
  while (link_ != nullptr && link_->dialog->wants_client() && !link_->from_client.empty()) {
    std::string to_server;
    std::string to_client;
    const mail::BackendDialog::Step step =
        link_->dialog->TakeClient(AsBytes(link_->from_client), to_server, to_client);
    link_->from_client.erase(0, step.consumed);
    if (!TakeLinkStep(step, to_server, to_client)) return;
    if (step.consumed == 0) return;
  }
}

// TakeLinkStep says what is to be said; false when the link is over.
bool Session::TakeLinkStep(const mail::BackendDialog::Step& step, const std::string& to_server,
                           const std::string& to_client) {
  if (step.next == mail::BackendDialog::Next::kFailed) {
    const std::string detail = link_->dialog->failure_detail();
    LinkFailed(step.failure, detail, to_client);
    return false;
  }
  if (!backend_.Say(to_server) || !client_.Say(to_client)) {
    reason_ = "cannot seal a record";
    Finish(How::kError, true);
    return false;
  }
  bytes_out_ += to_client.size();
  io_.counters.bytes_to_clients.Add(to_client.size());
  if (step.next != mail::BackendDialog::Next::kReady) return true;
  const mail::EhloKeywords* keywords = link_->dialog->keywords();
  if (keywords != nullptr && io_.keywords != nullptr) {
    io_.keywords->Learn(settings_, listener_index_, *keywords);
  }
  LetThrough();
  return false;
}

void Session::LinkFailed(mail::BackendFailure failure, const std::string& detail,
                         const std::string& to_client) {
  if (state_ == State::kConnecting && failure != mail::BackendFailure::kClientRefused) {
    link_->failed = true;
    ServerFailed(detail, !backend_.flushed());
    return;
  }
  reason_ = fmt::format("{}: {}", server_, detail);
  if (!client_.end_sent() && client_.Say(to_client)) client_.End();
  Finish(How::kServerClosed, false);
}

// LetThrough: from here on octets flow.
void Session::LetThrough() {
  const std::unique_ptr<BackendLink> link = std::move(link_);
  if (state_ == State::kConnecting) ServerReady();
  MakeGate(link->dialog.get());
  bytes_out_ += link->from_server.size();
  io_.counters.bytes_to_clients.Add(link->from_server.size());
  if (LetFlow(AsWritable(link->from_client), AsWritable(link->from_server))) return;
  if (state_ != State::kRelay) return;
  reason_ = "cannot seal a record";
  Finish(How::kError, true);
}

// What came from either side meanwhile. The server's first: it answers nothing of the client's.
bool Session::LetFlow(MutableBytes from_client, MutableBytes from_server) {
  Plaintext server{.bytes = from_server};
  Plaintext client{.bytes = from_client};
  return (from_server.empty() || SendToClient(server)) &&
         (from_client.empty() || SendToBackend(client));
}

// LinkBroken: the server hung up before it was ready. The next one is tried.
void Session::LinkBroken() {
  if (link_ == nullptr || !link_->connected || link_->failed) return;
  if (!backend_.broken() && !backend_.ended() && !backend_.at_eof()) return;
  const int error =
      backend_.receive_error() != 0 ? backend_.receive_error() : backend_.send_error();
  const std::string_view when = link_->handshake != nullptr ? "within the TLS handshake"
                                : link_->secured            ? "within TLS, before it was ready"
                                                            : "before it was ready";
  link_->failed = true;
  ServerFailed(fmt::format("closed the connection {}{}{}", when, error != 0 ? ": " : "",
                           error != 0 ? ErrnoText(error) : std::string()));
}

}  // namespace postern::session
