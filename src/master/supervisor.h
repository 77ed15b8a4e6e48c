// Supervisor: the worker processes. It starts them, replaces those that die, and carries messages
// to and fro; what the messages mean is its owner's business (WorkerEvents).
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "master/back_off.h"
#include "master/heartbeat.h"
#include "master/worker_channel.h"
#include "postern/base/result.h"
#include "postern/os/sealed_memory.h"
#include "postern/shm/counters.h"
#include "postern/worker/protocol.h"

namespace postern::master {

enum class WorkerState : uint8_t {
  kDown,      // not running; started again when its back-off is over
  kStarting,  // runs and prepares its first generation
  kServing,
};
std::string_view ToString(WorkerState state);

// WorkerEvents is told what happens to workers, from within Supervisor's functions.
class WorkerEvents {
 public:
  virtual ~WorkerEvents() = default;
  // A fresh process: kStart and kLog are sent, the rest is the owner's.
  virtual void OnStarted(uint32_t worker) = 0;
  virtual void OnMessage(uint32_t worker, const worker::Message& message) = 0;
  // `how` completes "worker 3 ...": "was killed by signal 9 (SIGKILL)".
  virtual void OnDied(uint32_t worker, const std::string& how) = 0;
};

struct SupervisorOptions {
  uint32_t workers = 1;
  std::vector<int> cpus;  // to pin workers to, in turn; empty: none are pinned
  worker::Start start;    // id, workers and cpu are filled in
  int control_page_fd = -1;
  int ticket_keys_fd = -1;
  int addresses_fd = -1;
  int session_ids_fd = -1;
  uint64_t start_timeout_ms = 30'000;  // for taking up the first generation
  HeartbeatTimes heartbeat;
  // Starts process `id` with `channel` as its descriptor worker::kChannelFd.
  std::function<Result<pid_t>(uint32_t id, int channel)> spawn;
  // A worker is dead and waited for; its successor has not been started yet. May be empty.
  std::function<void(uint32_t id)> bury;
  // The log set-up of the moment and its descriptor.
  std::function<std::pair<worker::LogSetUp, int>()> log;
};

// What status shows of one worker.
struct WorkerView {
  uint32_t id = 0;
  pid_t pid = 0;  // 0 when down
  int cpu = -1;
  WorkerState state = WorkerState::kDown;
  uint64_t started_ms = 0;
  uint64_t restarts = 0;
  const shm::WorkerCounters* counters = nullptr;
};

class Supervisor {
 public:
  // `events` must outlive the supervisor.
  static Result<std::unique_ptr<Supervisor>> Create(SupervisorOptions options,
                                                    WorkerEvents& events);
  // Kills and reaps what still runs.
  ~Supervisor();

  // StartAll starts every worker; the first that cannot be started ends it with the reason.
  Status StartAll(uint64_t now_ms);
  // StopRestarting: from now on who dies stays dead (drain, quit, a start that failed).
  void StopRestarting() { restarting_ = false; }
  // While held, nobody is started: a generation is being prepared, and who came up in the midst of
  // it would belong to neither side.
  void HoldRestarts(bool held) { held_ = held; }

  void Send(uint32_t worker, worker::Message message, const std::vector<int>& fds = {});
  void SendAll(worker::MessageType type, uint64_t number = 0);
  // SendLog hands the log set-up of the moment to everybody.
  void SendLog();
  // `worker` has taken up its first generation.
  void MarkServing(uint32_t worker);
  void Kill(uint32_t worker, const char* why);
  void KillAll();

  uint32_t size() const { return static_cast<uint32_t>(slots_.size()); }
  uint32_t running() const;
  WorkerState state(uint32_t worker) const { return slots_[worker].state; }
  WorkerView View(uint32_t worker) const;

  // --- for the poll loop ---
  void AddPollFds(std::vector<pollfd>& fds) const;
  std::optional<uint64_t> NextDeadlineMs() const;
  void Reap(uint64_t now_ms);  // after SIGCHLD
  void Run(uint64_t now_ms);   // channels ready, or a deadline passed

  // For who starts next.
  void set_start(const worker::Start& start) { options_.start = start; }
  void set_start_timeout(uint64_t timeout_ms) { options_.start_timeout_ms = timeout_ms; }

 private:
  struct Slot {
    uint32_t id = 0;
    int cpu = -1;
    WorkerState state = WorkerState::kDown;
    pid_t pid = 0;
    std::unique_ptr<WorkerChannel> channel;
    uint64_t started_ms = 0;
    uint64_t restarts = 0;
    std::optional<uint64_t> restart_at_ms;
    std::optional<uint64_t> start_by_ms;  // it must serve by then
    std::optional<uint64_t> kill_at_ms;   // its channel is closed; it should be gone by then
    BackOff back_off;
    Heartbeat heartbeat{HeartbeatTimes()};
    os::UniqueFd counters_fd;
    os::Mapping counters_page;
    shm::WorkerCounters* counters = nullptr;  // in it
  };

  Supervisor(SupervisorOptions options, WorkerEvents& events)
      : options_(std::move(options)), events_(events) {}
  Status MakeSlots();
  Status Start(Slot& slot, uint64_t now_ms);
  void Greet(Slot& slot);
  void SendLogTo(Slot& slot);
  void ReceiveAll(Slot& slot);
  void TakeMessage(Slot& slot, const worker::Message& message);
  void LookAfter(Slot& slot, uint64_t now_ms);
  void ChannelBroken(Slot& slot);
  void Buried(Slot& slot, int status, uint64_t now_ms);
  void ScheduleRestart(Slot& slot, uint64_t lived_ms, uint64_t now_ms);

  SupervisorOptions options_;
  WorkerEvents& events_;
  std::vector<Slot> slots_;
  bool restarting_ = true;
  bool held_ = false;
};

// DescribeExit puts a wait status into words that complete "worker 3 ...".
std::string DescribeExit(int status);

}  // namespace postern::master
