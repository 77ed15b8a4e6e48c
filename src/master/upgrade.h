// Upgrade: one attempt of the running master to have its place taken by a new process, up to the
// moment when that one serves or has failed. Until then nothing of what serves has changed.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "master/handover_channel.h"
#include "postern/base/result.h"

namespace postern::master {

class Upgrade {
 public:
  struct Options {
    // Starts the new process with `channel` as its descriptor kHandoverFd.
    std::function<Result<pid_t>(int channel)> spawn;
    uint64_t here_timeout_ms = 30'000;    // until it says that it runs
    uint64_t serve_timeout_ms = 140'000;  // from then until it serves
  };
  enum class State : uint8_t { kStarting, kServing, kFailed };

  // Begin starts the new process. What it inherits is sent by the owner over channel(), with kEnd
  // last.
  static Result<std::unique_ptr<Upgrade>> Begin(const Options& options, uint64_t now_ms);
  // Kills and reaps the new process unless it has come to serve.
  ~Upgrade();
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;

  HandoverChannel& channel() { return channel_; }
  pid_t pid() const { return pid_; }
  State state() const { return state_; }
  // kServing: what came with that word.
  uint64_t shares() const { return shares_; }
  // kFailed: why, lines for the administrator.
  const std::string& reason() const { return reason_; }

  // --- for the poll loop ---
  void AddPollFds(std::vector<pollfd>& fds) const { channel_.AddPollFd(fds); }
  std::optional<uint64_t> NextDeadlineMs() const { return deadline_ms_; }
  void Run(uint64_t now_ms);

 private:
  Upgrade(const Options& options, pid_t pid, HandoverChannel channel, uint64_t now_ms);
  void ReceiveAll(uint64_t now_ms);
  void Take(const HandoverMessage& message, uint64_t now_ms);
  void Fail(std::string reason);
  // How the process ended, when it has; waits for it when `wait`.
  std::optional<std::string> Reap(bool wait);

  uint64_t serve_timeout_ms_;
  pid_t pid_;
  bool reaped_ = false;
  HandoverChannel channel_;
  State state_ = State::kStarting;
  bool here_ = false;
  uint64_t shares_ = 0;
  std::optional<uint64_t> deadline_ms_;
  std::string reason_;
};

}  // namespace postern::master
