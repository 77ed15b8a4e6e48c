// LoadLoop: the load of one process: its ring, its connections, its clock and its counts.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/load/connection.h"
#include "bench/load/mode.h"
#include "bench/load/rate.h"
#include "bench/load/share.h"
#include "bench/load/tally.h"
#include "bench/load/tls_client.h"
#include "postern/os/socket_address.h"
#include "postern/relay/stream.h"

namespace postern::bench {

// NowUs is CLOCK_MONOTONIC in microseconds.
uint64_t NowUs();
// CpuSeconds is what this process has used, in user mode and in the kernel.
double CpuSeconds();

class LoadLoop {
 public:
  // What this process is of the whole; options, control and cell must outlive the loop.
  struct Part {
    const LoadOptions& options;
    os::SocketAddress target;
    uint32_t index = 0;  // of options.processes
    Control& control;
    ProcessCell& cell;
  };
  static Result<std::unique_ptr<LoadLoop>> Create(const Part& part);
  ~LoadLoop();
  LoadLoop(const LoadLoop&) = delete;
  LoadLoop& operator=(const LoadLoop&) = delete;

  // Run does all of it, from preparing to closing, and returns what was counted.
  Tally Run();

  // --- For modes ---
  const LoadOptions& options() const { return part_.options; }
  Tally& tally() { return tally_; }
  std::span<const std::unique_ptr<Connection>> connections() const { return connections_; }
  SessionStore& sessions() { return sessions_; }
  // Connections that are not free.
  size_t active() const { return connections_.size() - free_.size() - resting_.size(); }
  // Whether this is the process that does what one of all has to do.
  bool is_first() const { return part_.index == 0; }
  bool counting() const { return counting_; }
  // Count counts `units`; nothing happens outside of the time that is measured.
  void Count(uint64_t units);
  void AddLatency(uint64_t microseconds) {
    if (counting_) tally_.latency.Add(microseconds);
  }
  // A number for everything of one mode: "lost".
  void AddSpecific(std::string_view name, uint64_t times = 1) {
    AddTo(tally_.specific, name, times);
  }
  // This process's share of a number for all of them.
  uint64_t Share(uint64_t total) const;
  // GiveUp ends the run: nothing more can come of it.
  void GiveUp() { gave_up_ = true; }

  // --- For connections ---
  relay::StreamIo& io() { return *io_; }
  Mode& mode() { return *mode_; }
  ring::TimerWheel& timers() { return *timers_; }
  uint64_t now_ms() const { return now_ms_; }
  uint64_t timeout_ms() const { return timeout_ms_; }
  SSL_CTX* context() { return context_.get(); }  // null: no TLS
  const std::string& server_name() const { return server_name_; }
  std::vector<std::byte>& wire() { return wire_; }
  MutableBytes text() { return text_; }
  const os::SocketAddress& address() const { return part_.target; }
  Result<os::UniqueFd> MakeSocket();
  void NoteHandshake(Connection& connection) { negotiated_.Add(connection.ssl()); }
  void NoteOpen() { ++opened_; }
  void NoteClosed(Connection& connection) { closed_.push_back(&connection); }
  void Released(Connection& connection, bool clean);

 private:
  struct Resting {
    uint64_t until_ms;
    uint32_t index;
  };

  explicit LoadLoop(const Part& part);
  Status SetUp();
  void Prepare();
  bool AwaitGo();
  void Measure();
  void StartMeasuring();
  void StopMeasuring();
  void Wind();  // closes everything
  template <typename Condition>
  void TurnUntil(Condition condition);
  void Turn();
  void StartMore();
  bool RoomForMore() const;
  bool HopeLost() const;
  uint64_t WaitMs();
  void ShowProgress();

  Part part_;
  uint64_t timeout_ms_;
  uint64_t count_limit_ = 0;
  std::string server_name_;
  SessionStore sessions_;
  tls::SslCtxPtr context_;
  std::unique_ptr<ring::Ring> ring_;
  std::unique_ptr<ring::BufferPool> pool_;
  relay::StarvedStreams starved_;
  std::unique_ptr<relay::StreamIo> io_;
  std::unique_ptr<ring::TimerWheel> timers_;
  std::unique_ptr<Mode> mode_;
  std::vector<std::byte> wire_;  // ciphertext on its way to a stream
  std::vector<std::byte> text_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<uint32_t> free_;
  std::deque<Resting> resting_;  // failed ones, before they may connect again
  std::vector<Connection*> closed_;
  Rate rate_;
  Negotiated negotiated_;
  Tally tally_;
  uint64_t now_ms_ = 0;
  uint64_t started_us_ = 0;
  uint64_t opened_ = 0;     // connections that got as far as the mode
  uint64_t connected_ = 0;  // sockets made
  double cpu_at_start_ = 0;
  bool starting_ = true;  // new connections may begin
  bool counting_ = false;
  bool gave_up_ = false;
};

}  // namespace postern::bench
