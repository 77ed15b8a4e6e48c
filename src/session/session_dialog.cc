// Sessions that begin in plain text: the wait before the greeting, the dialog, and what both end
// in: a handshake, a session without TLS, or a goodbye.
//
// What counts is that nothing of the plain text is known when TLS stands. The dialog and every
// octet it read are gone before the handshake is made; the answer to STARTTLS is with the kernel by
// then, and what arrived before it was is injected (RFC 3207 section 6) and ends the connection.
// What arrives later goes to the handshake, where plain text cannot pass. No back end is spoken to
// before the handshake is over.
#include <algorithm>
#include <chrono>
#include <optional>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/mail/http_redirect.h"
#include "postern/os/clock.h"
#include "postern/session/session.h"

namespace postern::session {
namespace {

// How long tls = "auto" waits for a ClientHello before it takes the client for one that wants to be
// greeted. TLS clients speak at once; three seconds leave room for a first octet that was lost once
// and came again (RFC 6298 section 2.1: after a second), on top of a slow line. What comes later
// meets the dialog, which refuses it.
constexpr uint64_t kAutoWaitMs = 3'000;

// Whether a first octet begins TLS: a handshake record, or, where text is expected, whatever cannot
// be text, which the handshake knows to tell from TLS and to explain.
bool BeginsTls(std::byte first, config::Service service) {
  constexpr std::byte kHandshakeRecord{0x16};
  constexpr std::byte kBeyondText{0x80};
  return first == kHandshakeRecord || (service != config::Service::kRaw && first >= kBeyondText);
}

bool IsFault(mail::DialogEnd end) {
  switch (end) {
    case mail::DialogEnd::kNone:
    case mail::DialogEnd::kQuit:
    case mail::DialogEnd::kGone:
    case mail::DialogEnd::kStopped:
      return false;
    case mail::DialogEnd::kInjection:
    case mail::DialogEnd::kLineTooLong:
    case mail::DialogEnd::kTooManyErrors:
    case mail::DialogEnd::kTooManyCommands:
    case mail::DialogEnd::kSpokeFirst:
    case mail::DialogEnd::kForeign:
    case mail::DialogEnd::kTimeout:
      return true;
  }
  return false;
}

}  // namespace

std::optional<mail::DialogProtocol> Session::DialogProtocolOf(config::Service service) {
  switch (service) {
    case config::Service::kImap:
      return mail::DialogProtocol::kImap;
    case config::Service::kPop3:
      return mail::DialogProtocol::kPop3;
    case config::Service::kSmtp:
    case config::Service::kSubmission:
      return mail::DialogProtocol::kSmtp;
    case config::Service::kLmtp:
      return mail::DialogProtocol::kLmtp;
    case config::Service::kSieve:
      return mail::DialogProtocol::kSieve;
    case config::Service::kHttp:
    case config::Service::kRaw:
      return std::nullopt;
  }
  return std::nullopt;
}

void Session::BeginOpening() {
  const generation::ListenerSettings& to = listener();
  switch (to.tls) {
    case config::TlsMode::kImplicit:
      BeginHandshake();
      return;
    case config::TlsMode::kStartTls:
      opening_->deadline_ms = io_.now_ms + to.greeting_delay_ms + to.dialog_timeout_ms;
      if (to.greeting_delay_ms == 0) {
        BeginDialog();
      } else {
        BeginWaiting(to.greeting_delay_ms);
      }
      return;
    case config::TlsMode::kAuto:
      opening_->deadline_ms =
          io_.now_ms + std::max(to.greeting_delay_ms, kAutoWaitMs) + to.dialog_timeout_ms;
      // An HTTP client speaks first, and has the time of the dialog for it.
      BeginWaiting(to.service == config::Service::kHttp
                       ? to.dialog_timeout_ms
                       : std::max(to.greeting_delay_ms, kAutoWaitMs));
      return;
    case config::TlsMode::kOff:
      BeginPlain();
      return;
  }
}

// --- Waiting for the client to speak, or not to ---

void Session::BeginWaiting(uint64_t wait_ms) {
  state_ = State::kGreetingDelay;
  io_.timers.Arm(timer_, io_.now_ms + wait_ms);
}

void Session::SpokeWhileWaiting(Bytes bytes) {
  heard_ = true;
  const bool may_begin_tls = listener().tls == config::TlsMode::kAuto;
  if (may_begin_tls && BeginsTls(bytes.front(), listener().service)) {
    BeginHandshake();
    FeedHandshake(bytes);
    return;
  }
  if (listener().greeting_delay_ms != 0) {
    const std::string_view words = mail::Reply(protocol(), mail::Occasion::kSpokeFirst);
    client_.Say(words);
    RefuseDialog(mail::DialogEnd::kSpokeFirst);
    return;
  }
  PlainTextFirst(bytes);
}

// tls = "auto", and it is not TLS.
void Session::PlainTextFirst(Bytes bytes) {
  const generation::ListenerSettings& to = listener();
  if (DialogProtocolOf(to.service)) {
    BeginDialog();
    FeedDialog(bytes);
  } else if (!to.require_tls) {
    client_.Keep(bytes);
    BeginPlain();
  } else {
    // The handshake has the words for it, and for HTTP there is the redirect.
    BeginHandshake();
    FeedHandshake(bytes);
  }
}

void Session::WaitedForGreeting() {
  const generation::ListenerSettings& to = listener();
  if (DialogProtocolOf(to.service)) {
    BeginDialog();
  } else if (to.service == config::Service::kRaw && !to.require_tls) {
    BeginPlain();  // a protocol in which the server speaks first
  } else if (to.service == config::Service::kHttp) {
    DialogTimeout();
  } else {
    BeginHandshake();
  }
}

// --- The dialog ---

void Session::BeginDialog() {
  state_ = State::kDialog;
  io_.timers.Arm(timer_, opening_->deadline_ms);
  opening_->dialog = mail::MakeClientDialog({.protocol = *DialogProtocolOf(listener().service),
                                             .host_name = listener().host_name,
                                             .require_tls = listener().require_tls});
  std::string greeting;
  opening_->dialog->Greet(greeting);
  client_.Say(greeting);
}

void Session::FeedDialog(Bytes bytes) {
  heard_ = true;
  if (opening_->starting_tls) {
    reason_ = "octets behind STARTTLS, before the handshake";
    RefuseDialog(mail::DialogEnd::kInjection);
    return;
  }
  const Bytes wire = client_.Joined(bytes);
  if (opening_->awaits_keywords) {
    client_.Keep(wire);
    return;
  }
  std::string reply;
  size_t consumed = 0;
  mail::ClientDialog::Step step;
  do {
    step = opening_->dialog->Take(wire.subspan(consumed), reply);
    consumed += step.consumed;
  } while (step.next == mail::ClientDialog::Next::kKeywords && AnswerEhlo(reply));
  client_.Say(reply);
  client_.Keep(wire.subspan(consumed));
  TakeStep(step);
}

// False: the keywords have been asked for, and the dialog waits.
bool Session::AnswerEhlo(std::string& reply) {
  const mail::EhloKeywords* keywords = nullptr;
  if (io_.keywords != nullptr) {
    keywords = io_.keywords->Find(settings_, listener_index_);
    if (keywords == nullptr && io_.keywords->Want(settings_, listener_index_, *opening_)) {
      opening_->awaits_keywords = true;
      return false;
    }
  }
  opening_->dialog->AnswerEhlo(keywords, reply);
  return true;
}

void Session::Opening::OnKeywords(const mail::EhloKeywords* keywords) {
  session.TakeKeywords(keywords);
}

void Session::TakeKeywords(const mail::EhloKeywords* keywords) {
  if (state_ != State::kDialog) return;
  opening_->awaits_keywords = false;
  std::string reply;
  opening_->dialog->AnswerEhlo(keywords, reply);
  client_.Say(reply);
  if (client_.kept()) FeedDialog({});
  Decide();  // may destroy the session
}

void Session::TakeStep(const mail::ClientDialog::Step& step) {
  switch (step.next) {
    case mail::ClientDialog::Next::kMore:
    case mail::ClientDialog::Next::kKeywords:
      return;
    case mail::ClientDialog::Next::kStartTls:
      POSTERN_CHECK(!client_.kept());
      opening_->starting_tls = true;  // DecideDialog goes on when the reply is out
      return;
    case mail::ClientDialog::Next::kPlain:
      introduction_ = std::make_unique<Introduction>(std::string(opening_->dialog->hello()),
                                                     opening_->dialog->extended_hello());
      BeginPlain();
      return;
    case mail::ClientDialog::Next::kClose:
      RefuseDialog(step.end);
      return;
  }
}

// Ends the connection behind the reply that is queued.
void Session::RefuseDialog(mail::DialogEnd end) {
  CountDialog(end);
  Finish(end == mail::DialogEnd::kQuit ? How::kClientClosed : How::kDialogRefused, false);
  client_.End();
}

void Session::CountDialog(mail::DialogEnd end) {
  static_assert(mail::kDialogEnds <= shm::kDialogEndKinds);
  dialog_end_ = end;
  io_.counters.dialogs_ended.at(static_cast<size_t>(end)).Add();
  if (session::IsFault(end)) NoteFault(Fault::kDialog);
}

void Session::DecideDialog() {
  if (client_.broken()) {
    CountDialog(mail::DialogEnd::kGone);
    Close(How::kClientReset, false);
    return;
  }
  // What the client said before its end has been answered by now, as far as it can be.
  if (client_.at_eof()) {
    CountDialog(mail::DialogEnd::kGone);
    Close(How::kClientClosed, false);
    return;
  }
  if (state_ == State::kDialog && opening_->starting_tls) {
    if (client_.flushed()) BeginHandshake();
    return;
  }
  // Who waits for keywords is not read from, and neither is who does not read.
  client_paused_ = Paused(client_paused_, client_.out().size());
  client_.WantReceive(!client_paused_ && !opening_->awaits_keywords);
}

void Session::DialogTimeout() {
  CountDialog(mail::DialogEnd::kTimeout);
  if (opening_->starting_tls) {
    Close(How::kDialogTimeout, false);  // the reply cannot be had rid of
    return;
  }
  client_.Say(mail::Reply(protocol(), mail::Occasion::kDialogTimeout));
  Finish(How::kDialogTimeout, false);
  client_.End();
}

// A goodbye in plain text, when Postern ends the session.
void Session::EndDialog(mail::Occasion occasion, How how) {
  CountDialog(mail::DialogEnd::kStopped);
  if (state_ == State::kDialog && opening_->starting_tls) {
    Close(how, false);
    return;
  }
  client_.Say(mail::Reply(protocol(), occasion));
  Finish(how, false);
  client_.End();
}

// --- Without TLS ---

void Session::BeginPlain() {
  tls_ = TlsKind::kOff;
  opening_ = nullptr;
  io_.counters.plain.Add();
  NoLongerHandshaking();
  BeginConnecting();
  if (!client_.kept()) return;
  std::vector<std::byte> first = client_.TakeKept();
  RelayToBackend(ring::Slot(), first);
}

// --- Plain HTTP where TLS is wanted ---

void Session::BeginRedirect(Bytes wire) {
  CountFailure(handshake_->failure());
  reason_ = handshake_->failure_detail();
  handshake_ = nullptr;
  state_ = State::kRedirect;  // the handshake's timer goes on
  client_.Keep(wire);
  FeedRedirect({});
}

void Session::FeedRedirect(Bytes bytes) {
  const Bytes wire = client_.Joined(bytes);
  const std::chrono::sys_seconds now{std::chrono::seconds(os::WallSeconds())};
  const mail::HttpRedirect answer = mail::RedirectToHttps(
      wire, {.port = https_port_, .host_name = listener().host_name, .now = now});
  if (answer.state == mail::HttpRedirect::State::kNeedMore) {
    client_.Keep(wire);
    return;
  }
  client_.Say(answer.reply);
  Finish(How::kHandshakeFailed, false);
  client_.End();
}

void Session::DecideRedirect() {
  if (client_.broken() || client_.at_eof()) Close(How::kHandshakeFailed, false);
}

}  // namespace postern::session
