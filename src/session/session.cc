// The decisions: after every completion Decide looks at where both streams stand and sets what to
// wait for. Event handlers only take in what came, so the order of completions within a turn does
// not matter.
#include "postern/session/session.h"

#include <algorithm>
#include <cstring>

#include "backend_link.h"
#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::session {
namespace {

// A connection of which one direction has ended is given this long without any traffic.
constexpr uint64_t kHalfOpenIdleMs = 60'000;
// Last words (an alert, a BYE) get this long to be sent and read.
constexpr uint64_t kFinishMs = 3'000;

}  // namespace

Session::Session(SessionIo& io, Accepted accepted)
    : io_(io),
      settings_(std::move(accepted.settings)),
      listener_index_(accepted.listener),
      started_ms_(io.now_ms),
      active_ms_(io.now_ms),
      hold_(std::move(accepted.hold)),
      timer_(this, [](void* self) { static_cast<Session*>(self)->OnTimer(); }),
      // What stays plain text to the end is received with room to be sealed for the server.
      client_(listener().tls == config::TlsMode::kOff ? io.plain_clients : io.clients, *this),
      backend_(settings_->backends()[listener().backend].tls == config::BackendTlsMode::kOff
                   ? io.backends
                   : io.tls_backends,
               *this),
      client_contexts_(std::move(accepted.client_contexts)) {
  const Bytes peer = accepted.peer.bytes();
  std::memcpy(peer_.data(), peer.data(), std::min(peer.size(), peer_.size()));
  io_.counters.connections.Add();
  io_.counters.handshaking.Add();
}

Session::~Session() {
  NoLongerHandshaking();
  io_.counters.connections.Subtract();
}

bool Session::Start(os::UniqueFd fd, std::shared_ptr<tls::ServerContexts> contexts,
                    tls::PolicyContextPtr policy) {
  NoteLocalAddress(fd.get());
  if (!client_.Open(std::move(fd))) return false;
  if (listener().tls == config::TlsMode::kImplicit) {
    handshake_ = MakeHandshake(*contexts, std::move(policy));
  } else {
    opening_ = std::make_unique<Opening>(*this);
    opening_->contexts = std::move(contexts);
    opening_->policy = std::move(policy);
  }
  client_.WantReceive(true);
  client_.Pump();
  return true;
}

void Session::Begin() {
  if (!ScreenPeer()) BeginOpening();
  // Of a handshake nothing waits to be decided before the client's first octets.
  if (state_ != State::kHandshake) Decide();
}

// --- Events ---

void Session::OnReceived(relay::Stream& stream, const ring::Slot& slot, MutableBytes bytes) {
  if (&stream == &backend_) {
    if (link_ != nullptr) {
      FeedServer(slot, bytes);
    } else if (state_ == State::kRelay) {
      RelayToClient(slot, bytes);
    }
    return;
  }
  TakeFromClient(slot, bytes);
}

void Session::TakeFromClient(const ring::Slot& slot, MutableBytes bytes) {
  if (repeated_ && RepeatsHeader(bytes)) return;
  if (repeated_ && state_ == State::kHandshake) {
    client_.Keep(client_.Joined(bytes));  // the handshake would only say that it is no TLS
    return;
  }
  switch (state_) {
    case State::kProxyHeader:
      FeedProxyHeader(bytes);
      return;
    case State::kGreetingDelay:
      SpokeWhileWaiting(bytes);
      return;
    case State::kDialog:
      FeedDialog(bytes);
      return;
    case State::kRedirect:
      FeedRedirect(bytes);
      return;
    case State::kHandshake:
      FeedHandshake(bytes);
      return;
    case State::kConnecting:
    case State::kRelay:
      RelayToBackend(slot, bytes);
      return;
    case State::kFinishing:
    case State::kClosing:
      return;
  }
}

// Traffic only notes its time; the timer is moved when it fires.
void Session::RelayTimeout() {
  const bool half_open = client_done_ || client_.end_sent();
  const uint64_t idle = half_open ? std::min(listener().idle_timeout_ms, kHalfOpenIdleMs)
                                  : listener().idle_timeout_ms;
  const uint64_t unread_due = read_ms_ + listener().unread_timeout_ms;
  reader_watched_ = backend_paused_;
  if (reader_watched_ && io_.now_ms >= unread_due) {
    reason_ = "the client does not read";
    io_.counters.unread.Add();
    client_.Close(true);  // a mere end would leave what is unread with the kernel for long
    Close(How::kUnread, true);
    Decide();
    return;
  }
  if (io_.now_ms < active_ms_ + idle) {
    const uint64_t due = active_ms_ + idle;
    io_.timers.Arm(timer_, reader_watched_ ? std::min(due, unread_due) : due);
    return;
  }
  End(mail::Occasion::kIdle, How::kIdleTimeout);
}

void Session::OnStreamSettled(relay::Stream&) {
  active_ms_ = io_.now_ms;
  Decide();
}

void Session::OnTimer() {
  switch (state_) {
    case State::kProxyHeader:
      ProxyHeaderLate();
      break;
    case State::kGreetingDelay:
      WaitedForGreeting();
      break;
    case State::kDialog:
      DialogTimeout();
      break;
    case State::kRedirect:
      Close(How::kHandshakeFailed, false);
      break;
    case State::kHandshake:
      CountFailure(tls::HandshakeFailure::kTimeout);
      reason_ = heard_ ? "the client did not complete the handshake" : "the client sent nothing";
      Close(How::kHandshakeTimeout, false);
      break;
    case State::kConnecting:
      if (link_ != nullptr && link_->parting) {
        link_->parting = false;
        backend_.Close(false);
        break;
      }
      ServerFailed(link_ != nullptr && link_->connected ? "does not answer in time"
                                                        : "connect timeout");
      break;
    case State::kRelay:
      RelayTimeout();
      return;
    case State::kFinishing:
      Close(how_, false);
      break;
    case State::kClosing:
      break;
  }
  Decide();
}

// --- Decisions ---

void Session::Decide() {
  switch (state_) {
    case State::kProxyHeader:
      DecideProxyHeader();
      break;
    case State::kGreetingDelay:
    case State::kDialog:
      DecideDialog();
      break;
    case State::kRedirect:
      DecideRedirect();
      break;
    case State::kHandshake:
      DecideHandshake();
      break;
    case State::kConnecting:
      DecideConnecting();
      break;
    case State::kRelay:
      DecideRelay();
      break;
    case State::kFinishing:
    case State::kClosing:
      break;
  }
  if (state_ == State::kFinishing) DecideFinishing();
  backend_.Flush();
  client_.Pump();
  backend_.Pump();
  if (state_ == State::kClosing && client_.closed() && backend_.closed()) {
    io_.table.Destroy(*this);  // `this` is gone
  }
}

void Session::DecideHandshake() {
  if (client_.receive_end() == relay::ReceiveEnd::kOpen && client_.send_error() == 0) return;
  CountFailure(tls::HandshakeFailure::kGone);
  if (client_.receive_end() == relay::ReceiveEnd::kEof) {
    reason_ = "the client closed the connection during the handshake";
    Close(How::kHandshakeFailed, false);
    return;
  }
  Close(How::kClientReset, false);
}

void Session::DecideConnecting() {
  if (client_.broken()) {
    Close(How::kClientReset, true);
    return;
  }
  if (client_.ended()) client_done_ = true;
  if (client_.cut_off()) {
    Close(How::kClientTruncated, true);
    return;
  }
  // A client that has gone without asking for anything needs no back end.
  if (client_done_ && bytes_in_ == 0) {
    Close(How::kClientClosed, true);
    return;
  }
  LinkBroken();
  SetBackPressure();
  if (link_ != nullptr && link_->parting && !PartFromServer()) return;
  backend_.Pump();  // a server that failed is gone once its socket is closed
  if (backend_.closed()) TryNextServer();
}

void Session::DecideRelay() {
  if (RelayBroken()) return;
  const bool backend_ended = backend_.ended();
  if (client_.ended()) client_done_ = true;
  // The dialog waits for no more of its commands.
  if (client_done_ && link_ != nullptr) LetThrough();
  if (gate_ != nullptr) EmptyGate(backend_ended);
  if (backend_ended) {
    NoteEnd(How::kServerClosed);
    client_.End();
    // Behind our end a bare FIN cuts nothing off that anyone would still read.
    if (client_.at_eof()) client_done_ = true;
  }
  if (client_done_) NoteEnd(How::kClientClosed);
  if (client_done_ && backend_ended) {
    if (client_.flushed() && backend_.flushed()) Close(how_, false);
    return;
  }
  if (client_done_) backend_.End();
  if (client_done_ || backend_ended) {
    io_.timers.Arm(timer_, io_.now_ms + std::min(listener().idle_timeout_ms, kHalfOpenIdleMs));
  }
  SetBackPressure();
}

bool Session::RelayBroken() {
  const bool backend_ended = backend_.ended();
  if (client_.broken()) {
    // After a clean end from behind, how the client hangs up does not matter.
    Close(backend_ended ? How::kServerClosed : How::kClientReset, !backend_ended);
    return true;
  }
  if (client_.cut_off() && !client_done_ && !backend_ended) {
    // The client's stream is cut off (RFC 8446 section 6.1): the back end must not take it for
    // whole.
    Close(How::kClientTruncated, true);
    return true;
  }
  if (backend_.broken()) {
    // No close_notify: the client must not take the stream for whole, unless it was.
    if (backend_ended) client_.End();
    if (!backend_ended) {
      const int error =
          backend_.receive_error() != 0 ? backend_.receive_error() : backend_.send_error();
      reason_ = ErrnoText(error);
    }
    Finish(backend_ended ? How::kServerClosed : How::kServerReset, false);
    return true;
  }
  if (backend_.cut_off() && !client_done_) {
    // As with a client: what came may not be all, and the client is to see that as it would
    // without Postern.
    reason_ = "the server's stream broke off without close_notify";
    if (client_.secure()) {
      Finish(How::kServerReset, false);
    } else {
      client_.Close(true);
      Close(How::kServerReset, false);
    }
    return true;
  }
  return false;
}

bool Session::Paused(bool paused, size_t queued) {
  return queued >= limits::kQueueHighWater || (paused && queued > limits::kQueueLowWater);
}

void Session::SetBackPressure() {
  const size_t waiting = link_ != nullptr ? link_->from_client.size() : 0;
  client_paused_ = Paused(client_paused_, backend_.out().size() + waiting);
  client_.WantReceive(!client_paused_);
  if (state_ != State::kRelay) return;
  backend_paused_ = Paused(backend_paused_, client_.out().size());
  backend_.WantReceive(!backend_paused_);
  WatchReader();
}

// What is queued for the client has become too much: from now on the timer also looks whether it
// becomes less. Armed once in unread_timeout, not at each pause of a busy connection.
void Session::WatchReader() {
  const size_t queued = client_.out().size();
  if (!backend_paused_ || queued < unread_ || !reader_watched_) read_ms_ = io_.now_ms;
  unread_ = queued;
  if (!backend_paused_ || reader_watched_) return;
  reader_watched_ = true;
  const uint64_t idle_due = active_ms_ + listener().idle_timeout_ms;
  io_.timers.Arm(timer_, std::min(idle_due, io_.now_ms + listener().unread_timeout_ms));
}

void Session::DecideFinishing() {
  if (backend_.closed()) backend_.out().Clear();
  if (how_ == How::kBackendUnreachable && !client_.end_sent() && client_.flushed()) {
    // The protocol has no words for it, so there is nothing to be waited for. In plain text a FIN
    // could be taken for an empty but whole answer.
    if (!client_.secure()) client_.Close(true);
    Close(how_, false);
    return;
  }
  client_.WantReceive(true);
  const bool gone = client_.receive_end() != relay::ReceiveEnd::kOpen || client_.send_error() != 0;
  // The client's own end, or its silence until the timer, shows that it had the time to read ours:
  // closing at once could turn unread input into a reset that destroys our last words.
  if (client_.send_error() != 0 || (gone && client_.flushed())) Close(how_, false);
}

// --- Ends ---

void Session::End(mail::Occasion occasion, How how) {
  if (state_ == State::kFinishing || state_ == State::kClosing) return;
  if (state_ == State::kProxyHeader) {
    Close(how, false);
  } else if (state_ == State::kGreetingDelay || state_ == State::kDialog) {
    EndDialog(occasion, how);
  } else if (state_ == State::kRedirect) {
    Close(how, false);
  } else if (state_ == State::kHandshake) {
    CountFailure(tls::HandshakeFailure::kStopped);
    Close(how, false);
  } else {
    const std::string_view words = mail::Reply(protocol(), occasion);
    const bool greeted = state_ == State::kRelay;
    // In the middle of a line our words would become part of the server's.
    if (!words.empty() && !client_.end_sent() && !(greeted && client_.mid_line()) &&
        client_.Say(words)) {
      client_.End();
    }
    Finish(how, true);
  }
  Decide();
}

void Session::Finish(How how, bool reset_backend) {
  NoteEnd(how);
  state_ = State::kFinishing;
  backend_.Close(reset_backend);
  client_.Keep({});
  opening_ = nullptr;
  link_ = nullptr;
  gate_ = nullptr;
  io_.timers.Arm(timer_, io_.now_ms + kFinishMs);
}

void Session::Close(How how, bool reset_backend) {
  NoteEnd(how);
  state_ = State::kClosing;
  io_.timers.Disarm(timer_);
  client_.Close(false);
  backend_.Close(reset_backend);
  handshake_ = nullptr;
  opening_ = nullptr;
  link_ = nullptr;
  gate_ = nullptr;
  client_.Keep({});
  Log();
}

void Session::NoteEnd(How how) {
  if (how_ == How::kOpen) how_ = how;
}

mail::Protocol ProtocolOf(config::Service service) {
  switch (service) {
    case config::Service::kImap:
      return mail::Protocol::kImap;
    case config::Service::kPop3:
      return mail::Protocol::kPop3;
    case config::Service::kSmtp:
    case config::Service::kSubmission:
    case config::Service::kLmtp:
      return mail::Protocol::kSmtp;
    case config::Service::kSieve:
      return mail::Protocol::kSieve;
    case config::Service::kHttp:
      return mail::Protocol::kHttp;
    case config::Service::kRaw:
      return mail::Protocol::kRaw;
  }
  return mail::Protocol::kRaw;
}

// --- Table ---

bool SessionTable::Add(SessionIo& io, Accepted accepted) {
  os::UniqueFd fd = std::move(accepted.fd);
  std::shared_ptr<tls::ServerContexts> contexts = std::move(accepted.contexts);
  tls::PolicyContextPtr policy = std::move(accepted.policy);
  auto session = std::make_unique<Session>(io, std::move(accepted));
  if (!session->Start(std::move(fd), std::move(contexts), std::move(policy))) return false;
  Session& begun = *session.release();
  sessions_.PushBack(begun);
  ++size_;
  begun.Begin();
  return true;
}

void SessionTable::EndAll(mail::Occasion occasion, How how) {
  for (Session* session = sessions_.Front(); session != nullptr;) {
    Session* next = sessions_.Next(*session);
    session->End(occasion, how);
    session = next;
  }
}

void SessionTable::Destroy(Session& session) {
  session.table_node_.Unlink();
  --size_;
  delete &session;
}

}  // namespace postern::session
