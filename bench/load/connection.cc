// The order of things within a connection. A stream's events are noted as they come and acted upon
// in OnStreamSettled, which is where a connection ends, too: nothing is closed while TLS is being
// read.
//
// An end is clean when the server has ended as well: closing with the server's tickets unread would
// reset the connection, and the server would account a failure to a client that had none. A server
// that keeps its side open is not waited for longer than kEndMs.
#include "bench/load/connection.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include "bench/load/load_loop.h"
#include "bench/load/mode.h"
#include "postern/os/clock.h"

namespace postern::bench {
namespace {

constexpr uint64_t kEndMs = 3000;

}  // namespace

Connection::Connection(LoadLoop& loop, uint32_t index)
    : loop_(loop), stream_(loop.io(), *this), timer_(this, &OnTimer), index_(index) {}

void Connection::Open() {
  state_ = State::kConnecting;
  clean_ = true;
  server_ended_ = flush_due_ = false;
  begun_us_ = NowUs();
  loop_.mode().OnBegin(*this);
  WatchProgress(true);
  Result<os::UniqueFd> socket = loop_.MakeSocket();
  if (!socket) {
    loop_.tally().Fail(socket.error().what);
  } else if (!stream_.Open(std::move(*socket))) {
    loop_.tally().Fail("no descriptor was free: use more --processes");
  } else {
    stream_.Connect(loop_.address());
    return;
  }
  clean_ = false;
  state_ = State::kClosing;
  Release();
}

void Connection::OnConnected(relay::Stream&, int error_number) {
  if (error_number != 0) {
    const bool ports = error_number == EADDRNOTAVAIL;
    Fail(fmt::format("connect: {}", ports ? "no source port is free" : ErrnoText(error_number)));
    return;
  }
  stream_.WantReceive(true);
  if (loop_.options().starttls) {
    state_ = State::kStartTls;
    dialog_.emplace(*loop_.options().starttls);
  } else if (loop_.context() != nullptr) {
    StartHandshake();
  } else {
    BecomeOpen();
  }
}

// --- Receiving ---

void Connection::OnReceived(relay::Stream&, const ring::Slot&, MutableBytes bytes) {
  progress_ms_ = loop_.now_ms();
  switch (state_) {
    case State::kStartTls:
      RunDialog(bytes);
      break;
    case State::kHandshake:
      tls_->Feed(bytes);
      RunHandshake();
      break;
    case State::kOpen:
    case State::kEnding:
      if (tls_) {
        tls_->Feed(bytes);
        ReadText();
      } else {
        TakePlain(bytes);
      }
      break;
    case State::kFree:
    case State::kConnecting:
    case State::kClosing:
      break;
  }
}

void Connection::RunDialog(Bytes bytes) {
  const StartTls::Outcome outcome = dialog_->Take(AsText(bytes));
  if (outcome.refused) {
    Fail("STARTTLS: " + outcome.reason);
    return;
  }
  if (!outcome.send.empty()) stream_.out().AppendCopy(AsBytes(outcome.send));
  if (outcome.upgrade) StartHandshake();
}

void Connection::StartHandshake() {
  state_ = State::kHandshake;
  dialog_.reset();
  const SessionPtr session = loop_.mode().SessionFor(*this);
  tls_.emplace(loop_.context(), loop_.server_name(), session.get(), loop_.wire());
  tls_->Feed({});
  RunHandshake();
}

void Connection::RunHandshake() {
  const TlsClient::Step step = tls_->Handshake();
  if (step == TlsClient::Step::kFailed) {
    StepFailed("handshake");
    return;
  }
  Flush();
  if (step != TlsClient::Step::kDone) return;
  loop_.NoteHandshake(*this);
  if (state_ != State::kHandshake) return;
  BecomeOpen();
  ReadText();
}

void Connection::BecomeOpen() {
  state_ = State::kOpen;
  loop_.NoteOpen();
  loop_.mode().OnOpen(*this);
}

void Connection::ReadText() {
  const uint64_t before = loop_.sessions().added();
  ReadRecords();
  const bool more = loop_.sessions().added() != before;
  if (more && state_ == State::kOpen) loop_.mode().OnTicket(*this);
}

void Connection::ReadRecords() {
  while (tls_ && (state_ == State::kOpen || state_ == State::kEnding)) {
    size_t size = 0;
    const TlsClient::Step step = tls_->Read(loop_.text(), size);
    if (step == TlsClient::Step::kMore) return;
    if (step == TlsClient::Step::kEnd) {
      server_ended_ = true;
      return;
    }
    if (step == TlsClient::Step::kFailed) {
      StepFailed("receive");
      return;
    }
    TakePlain(loop_.text().first(size));
  }
}

void Connection::TakePlain(Bytes bytes) {
  if (state_ != State::kOpen) return;  // we have ended; what still comes is no longer of interest
  loop_.tally().received += bytes.size();
  loop_.mode().OnText(*this, bytes);
}

void Connection::StepFailed(std::string_view during) {
  Flush();  // the alert
  stream_.Pump();
  Fail(fmt::format("{}: {}", during, tls_->reason()));
}

// --- Sending and ending ---

void Connection::Send(Bytes text) {
  POSTERN_CHECK(state_ == State::kOpen);
  progress_ms_ = loop_.now_ms();
  flush_due_ = true;
  loop_.tally().sent += text.size();
  if (!tls_) {
    stream_.out().AppendCopy(text);
  } else if (tls_->Write(text)) {
    Flush();
  } else {
    StepFailed("send");
    return;
  }
  stream_.Pump();
}

void Connection::Flush() {
  std::vector<std::byte>& wire = loop_.wire();
  if (wire.empty()) return;
  stream_.out().AppendCopy(wire);
  wire.clear();
}

void Connection::Close() {
  if (state_ != State::kOpen) return;
  state_ = State::kEnding;
  loop_.timers().Arm(timer_, loop_.now_ms() + kEndMs);
  if (tls_) {
    tls_->Finish();
    Flush();
  } else {
    stream_.WantFinish();
  }
  stream_.Pump();
}

void Connection::Fail(std::string_view reason) {
  if (state_ == State::kClosing || state_ == State::kFree) return;
  loop_.tally().Fail(reason);
  clean_ = false;
  Break(true);
}

void Connection::Drop() {
  if (state_ == State::kClosing || state_ == State::kFree) return;
  Break(true);
}

void Connection::Break(bool reset) {
  state_ = State::kClosing;
  stream_.Close(reset);
  // When nothing is in flight no completion follows that would find it closed.
  if (stream_.closed()) loop_.NoteClosed(*this);
}

void Connection::OnStreamSettled(relay::Stream& stream) {
  if (state_ == State::kFree) return;
  if (state_ != State::kClosing) NoteEnd();
  stream.Pump();
  if (state_ == State::kClosing) {
    if (stream.closed()) Release();
    return;
  }
  if (state_ == State::kOpen && flush_due_ && stream.flushed()) {
    flush_due_ = false;
    loop_.mode().OnFlushed(*this);
    if (state_ == State::kOpen) stream.Pump();
  }
}

std::string_view Connection::During() const {
  switch (state_) {
    case State::kConnecting:
      return "connect";
    case State::kStartTls:
      return "STARTTLS";
    case State::kHandshake:
      return "handshake";
    case State::kFree:
    case State::kOpen:
    case State::kEnding:
    case State::kClosing:
      return "connection";
  }
  return "";
}

void Connection::NoteEnd() {
  const relay::ReceiveEnd end = stream_.receive_end();
  if (state_ == State::kEnding) {
    // However the server ends now, we had ended before.
    if (server_ended_ || end != relay::ReceiveEnd::kOpen || stream_.send_error() != 0) Break(false);
    return;
  }
  if (end == relay::ReceiveEnd::kError || stream_.send_error() != 0) {
    const int number =
        stream_.receive_error() != 0 ? stream_.receive_error() : stream_.send_error();
    Fail(fmt::format("{}: {}", During(), ErrnoText(number)));
  } else if (server_ended_ || end == relay::ReceiveEnd::kEof) {
    if (state_ != State::kOpen) {
      Fail(fmt::format("{}: the server ended the connection", During()));
    } else if (tls_ && !server_ended_) {
      Fail("connection: cut off, without close_notify");
    } else {
      loop_.mode().OnServerEnd(*this);
    }
  }
}

void Connection::Release() {
  loop_.timers().Disarm(timer_);
  tls_.reset();
  dialog_.reset();
  state_ = State::kFree;
  loop_.Released(*this, clean_);
}

void Connection::FinishClosing() {
  if (state_ == State::kClosing && stream_.closed()) Release();
}

// --- Time ---

void Connection::WatchProgress(bool on) {
  progress_ms_ = loop_.now_ms();
  if (on) {
    loop_.timers().Arm(timer_, progress_ms_ + loop_.timeout_ms());
  } else {
    loop_.timers().Disarm(timer_);
  }
}

// The timer is not moved at each sign of life: when it fires, the last one is looked at.
void Connection::OnTimer(void* self) {
  auto& connection = *static_cast<Connection*>(self);
  LoadLoop& loop = connection.loop_;
  if (connection.state_ == State::kEnding) {
    AddTo(loop.tally().specific, "server_kept_open");
    connection.Break(false);
    return;
  }
  const uint64_t due = connection.progress_ms_ + loop.timeout_ms();
  if (due > loop.now_ms()) {
    loop.timers().Arm(connection.timer_, due);
    return;
  }
  connection.Fail(fmt::format("{}: timed out", connection.During()));
}

}  // namespace postern::bench
