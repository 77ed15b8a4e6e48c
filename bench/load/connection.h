// Connection: one client connection, from the socket to the text within TLS.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "bench/load/starttls.h"
#include "bench/load/tls_client.h"
#include "postern/relay/stream.h"
#include "postern/ring/timer_wheel.h"

namespace postern::bench {

class LoadLoop;

class Connection final : public relay::StreamOwner {
 public:
  Connection(LoadLoop& loop, uint32_t index);

  // Open starts connecting. Only for a connection that is free().
  void Open();
  bool free() const { return state_ == State::kFree; }
  bool ending() const { return state_ == State::kEnding; }
  bool is_open() const { return state_ == State::kOpen; }
  uint32_t index() const { return index_; }
  // When connecting began, on the loop's clock.
  uint64_t begun_us() const { return begun_us_; }

  // --- For modes ---
  // Send sends text. Only while is_open().
  void Send(Bytes text);
  // Octets that the kernel has not taken yet.
  size_t unsent() const { return stream_.out().size(); }
  // Close ends cleanly: close_notify, then waits a moment for the server to end too. The mode then
  // hears OnClosed.
  void Close();
  // Fail counts a failure and breaks the connection off.
  void Fail(std::string_view reason);
  // Drop breaks it off without counting anything: the time is over.
  void Drop();
  // With the timeout off a connection may be silent for as long as it likes.
  void WatchProgress(bool on);
  // For the loop: what became closed outside of its own completions is let go.
  void FinishClosing();
  // Null without TLS.
  SSL* ssl() { return tls_ ? tls_->ssl() : nullptr; }

 private:
  enum class State : uint8_t {
    kFree,
    kConnecting,
    kStartTls,
    kHandshake,
    kOpen,
    kEnding,   // close_notify is out, or is going out; the server's end is waited for
    kClosing,  // the stream is being closed
  };

  void OnConnected(relay::Stream& stream, int error_number) override;
  void OnReceived(relay::Stream& stream, const ring::Slot& slot, MutableBytes bytes) override;
  void OnStreamSettled(relay::Stream& stream) override;
  static void OnTimer(void* self);
  void StartHandshake();
  void RunHandshake();
  void BecomeOpen();
  void ReadText();
  void ReadRecords();
  void TakePlain(Bytes bytes);
  void RunDialog(Bytes bytes);
  void Flush();  // what TLS wrote goes to the stream
  void NoteEnd();
  void Break(bool reset);
  void Release();
  void StepFailed(std::string_view during);
  std::string_view During() const;

  LoadLoop& loop_;
  relay::Stream stream_;
  ring::Timer timer_;
  std::optional<TlsClient> tls_;
  std::optional<StartTls> dialog_;
  uint64_t begun_us_ = 0;
  uint64_t progress_ms_ = 0;
  uint32_t index_;
  State state_ = State::kFree;
  bool clean_ = true;
  bool server_ended_ = false;
  bool flush_due_ = false;  // something was sent since OnFlushed was last called
};

}  // namespace postern::bench
