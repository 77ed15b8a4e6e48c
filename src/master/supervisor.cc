// Supervision. Workers are waited for by pid and never as "any child": other parts of the program
// may have children of their own one day, and tests do.
#include "master/supervisor.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "postern/base/log.h"
#include "postern/os/clock.h"

namespace postern::master {
namespace {

// Between the end of its channel and its death a worker gets this long to end by itself.
constexpr uint64_t kLingerMs = 1'000;

}  // namespace

std::string_view ToString(WorkerState state) {
  switch (state) {
    case WorkerState::kDown:
      return "down";
    case WorkerState::kStarting:
      return "starting";
    case WorkerState::kServing:
      return "serving";
  }
  return "unknown";
}

std::string DescribeExit(int status) {
  if (WIFEXITED(status)) return fmt::format("exited with status {}", WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const char* name = ::sigabbrev_np(signal);
  return fmt::format(
      "was killed by signal {}{}{}", signal, name == nullptr ? "" : fmt::format(" (SIG{})", name),
      signal == SIGSYS
          ? " for a system call that its sandbox forbids; the kernel's log has its number"
          : "");
}

Result<std::unique_ptr<Supervisor>> Supervisor::Create(SupervisorOptions options,
                                                       WorkerEvents& events) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(std::move(options), events));
  if (Status made = supervisor->MakeSlots(); !made) return std::unexpected(made.error());
  return supervisor;
}

Supervisor::~Supervisor() {
  restarting_ = false;
  KillAll();
  for (Slot& slot : slots_) {
    int status = 0;
    while (slot.pid > 0 && ::waitpid(slot.pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
}

Status Supervisor::MakeSlots() {
  for (uint32_t id = 0; id < options_.workers; ++id) {
    Slot& slot = slots_.emplace_back();
    slot.id = id;
    slot.heartbeat = Heartbeat(options_.heartbeat);
    if (!options_.cpus.empty()) slot.cpu = options_.cpus[id % options_.cpus.size()];
    auto fd = os::MakeShared(fmt::format("postern-counters-{}", id), sizeof(shm::WorkerCounters));
    if (!fd) return std::unexpected(fd.error());
    auto page = os::MapFd(fd->get(), os::MapMode::kShared);
    if (!page) return std::unexpected(page.error());
    slot.counters_fd = std::move(*fd);
    slot.counters_page = std::move(*page);
    slot.counters = new (slot.counters_page.mutable_bytes().data()) shm::WorkerCounters();
  }
  return {};
}

Status Supervisor::StartAll(uint64_t now_ms) {
  for (Slot& slot : slots_) {
    if (Status started = Start(slot, now_ms); !started) return started;
  }
  return {};
}

Status Supervisor::Start(Slot& slot, uint64_t now_ms) {
  slot.restart_at_ms.reset();
  auto channel = os::MakeChannel();
  if (!channel) return std::unexpected(channel.error());
  const Result<pid_t> pid = options_.spawn(slot.id, channel->second.get());
  if (!pid) return std::unexpected(pid.error());
  slot.pid = *pid;
  slot.state = WorkerState::kStarting;
  slot.started_ms = now_ms;
  slot.start_by_ms = now_ms + options_.start_timeout_ms;
  slot.kill_at_ms.reset();
  slot.channel = std::make_unique<WorkerChannel>(std::move(channel->first));
  LogLine(LogLevel::kDebug, "worker started").Field("worker", slot.id).Field("pid", slot.pid);
  Greet(slot);
  events_.OnStarted(slot.id);
  return {};
}

void Supervisor::Greet(Slot& slot) {
  worker::Message message;
  message.type = worker::MessageType::kStart;
  message.start = options_.start;
  message.start.id = slot.id;
  message.start.workers = options_.workers;
  message.start.cpu = slot.cpu;
  Send(slot.id, std::move(message),
       {options_.control_page_fd, slot.counters_fd.get(), options_.ticket_keys_fd,
        options_.addresses_fd, options_.session_ids_fd});
  SendLogTo(slot);
}

void Supervisor::SendLogTo(Slot& slot) {
  const auto [set_up, fd] = options_.log();
  worker::Message message;
  message.type = worker::MessageType::kLog;
  message.log = set_up;
  Send(slot.id, std::move(message), {fd});
}

void Supervisor::SendLog() {
  for (Slot& slot : slots_) SendLogTo(slot);
}

void Supervisor::Send(uint32_t worker, worker::Message message, const std::vector<int>& fds) {
  Slot& slot = slots_[worker];
  if (slot.channel == nullptr) return;
  if (!slot.channel->Send(std::move(message), fds)) ChannelBroken(slot);
}

void Supervisor::SendAll(worker::MessageType type, uint64_t number) {
  for (const Slot& slot : slots_) {
    worker::Message message;
    message.type = type;
    message.number = number;
    Send(slot.id, std::move(message));
  }
}

void Supervisor::MarkServing(uint32_t worker) {
  if (slots_[worker].state == WorkerState::kStarting) {
    slots_[worker].state = WorkerState::kServing;
    slots_[worker].start_by_ms.reset();
    slots_[worker].heartbeat.Begin(os::MonotonicMs());
  }
}

void Supervisor::Kill(uint32_t worker, const char* why) {
  const Slot& slot = slots_[worker];
  if (slot.pid <= 0) return;
  LogLine(LogLevel::kError, "worker killed")
      .Field("worker", slot.id)
      .Field("pid", slot.pid)
      .Field("reason", why);
  ::kill(slot.pid, SIGKILL);
}

void Supervisor::KillAll() {
  for (const Slot& slot : slots_) {
    if (slot.pid > 0) ::kill(slot.pid, SIGKILL);
  }
}

uint32_t Supervisor::running() const {
  return static_cast<uint32_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.pid > 0; }));
}

WorkerView Supervisor::View(uint32_t worker) const {
  const Slot& slot = slots_[worker];
  return {slot.id, slot.pid, slot.cpu, slot.state, slot.started_ms, slot.restarts, slot.counters};
}

void Supervisor::AddPollFds(std::vector<pollfd>& fds) const {
  for (const Slot& slot : slots_) {
    if (slot.channel == nullptr) continue;
    const int events = POLLIN | (slot.channel->wants_write() ? POLLOUT : 0);
    fds.push_back({slot.channel->fd(), static_cast<short>(events), 0});
  }
}

std::optional<uint64_t> Supervisor::NextDeadlineMs() const {
  std::optional<uint64_t> next;
  const auto consider = [&](const std::optional<uint64_t>& when) {
    if (when) next = std::min(next.value_or(*when), *when);
  };
  for (const Slot& slot : slots_) {
    if (restarting_ && !held_) consider(slot.restart_at_ms);
    consider(slot.kill_at_ms);
    consider(slot.start_by_ms);
    consider(slot.heartbeat.NextDeadlineMs());
  }
  return next;
}

void Supervisor::Run(uint64_t now_ms) {
  for (Slot& slot : slots_) {
    if (slot.channel != nullptr && !slot.channel->Flush()) ChannelBroken(slot);
    ReceiveAll(slot);
    if (slot.kill_at_ms && now_ms >= *slot.kill_at_ms) {
      slot.kill_at_ms.reset();
      Kill(slot.id, "its channel is closed and it does not end");
    }
    if (slot.start_by_ms && now_ms >= *slot.start_by_ms) {
      slot.start_by_ms.reset();
      Kill(slot.id, "it does not become ready");
    }
    LookAfter(slot, now_ms);
    if (!restarting_ || held_ || !slot.restart_at_ms || now_ms < *slot.restart_at_ms) continue;
    if (Status started = Start(slot, now_ms); !started) {
      LogLine(LogLevel::kError, "worker cannot be started")
          .Field("worker", slot.id)
          .Field("reason", started.error().ToString());
      ScheduleRestart(slot, 0, now_ms);
    }
  }
}

void Supervisor::ReceiveAll(Slot& slot) {
  while (slot.channel != nullptr) {
    worker::Message message;
    switch (slot.channel->Receive(message)) {
      case os::ChannelOutcome::kOk:
        TakeMessage(slot, message);
        break;
      case os::ChannelOutcome::kWouldBlock:
        return;
      case os::ChannelOutcome::kClosed:
        ChannelBroken(slot);
        return;
    }
  }
}

void Supervisor::TakeMessage(Slot& slot, const worker::Message& message) {
  if (message.type == worker::MessageType::kAnswer) slot.heartbeat.Answered(os::MonotonicMs());
  events_.OnMessage(slot.id, message);
}

// A worker that hangs is no use to those who are connected to it, and those who come to its sockets
// wait for nothing: its successor serves them.
void Supervisor::LookAfter(Slot& slot, uint64_t now_ms) {
  switch (slot.heartbeat.Look(now_ms)) {
    case Heartbeat::Verdict::kFine:
      return;
    case Heartbeat::Verdict::kAsk: {
      slot.heartbeat.Asked(now_ms);
      worker::Message question;
      question.type = worker::MessageType::kAsk;
      Send(slot.id, std::move(question));
      return;
    }
    case Heartbeat::Verdict::kSilent:
      slot.heartbeat.End();
      Kill(slot.id, "it hangs: it has not answered for too long");
      return;
  }
}

// Mostly the worker is ending, and SIGCHLD is on its way. If not, it is cut off from us for good:
// no reload would reach it.
void Supervisor::ChannelBroken(Slot& slot) {
  if (slot.pid > 0) slot.kill_at_ms = os::MonotonicMs() + kLingerMs;
  slot.channel.reset();
}

void Supervisor::Reap(uint64_t now_ms) {
  for (Slot& slot : slots_) {
    int status = 0;
    if (slot.pid <= 0 || ::waitpid(slot.pid, &status, WNOHANG) != slot.pid) continue;
    ReceiveAll(slot);  // its last words: why it refused, perhaps
    Buried(slot, status, now_ms);
  }
}

void Supervisor::Buried(Slot& slot, int status, uint64_t now_ms) {
  if (options_.bury) options_.bury(slot.id);
  slot.counters->ForgetHeld();
  const std::string how = DescribeExit(status);
  const uint64_t lived_ms = now_ms - std::min(now_ms, slot.started_ms);
  const bool expected = !restarting_ && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (restarting_) ScheduleRestart(slot, lived_ms, now_ms);
  {
    LogLine line(expected ? LogLevel::kInfo : LogLevel::kError,
                 expected ? "worker ended" : "worker died");
    line.Field("worker", slot.id).Field("pid", slot.pid).Field("how", how);
    line.FieldMs("lived", lived_ms);
    if (slot.restart_at_ms) line.FieldMs("restart_in", *slot.restart_at_ms - now_ms);
  }
  slot.pid = 0;
  slot.channel.reset();
  slot.kill_at_ms.reset();
  slot.start_by_ms.reset();
  slot.heartbeat.End();
  slot.state = WorkerState::kDown;
  events_.OnDied(slot.id, how);
}

void Supervisor::ScheduleRestart(Slot& slot, uint64_t lived_ms, uint64_t now_ms) {
  slot.restart_at_ms = now_ms + slot.back_off.Died(lived_ms);
  ++slot.restarts;
}

}  // namespace postern::master
