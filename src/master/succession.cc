// Upgrades, from both sides: how a master has its place taken by a new process, and how that one
// takes it. (The end of every master is in orders.cc.)
//
//   serving master                                new process
//      |  fork, exec of the program's path             |
//      |--- kSockets, kTicketKeys, ..., kEnd --------->|  loads, starts its workers
//      |<-- kServing (or kRefused, or nothing) --------|  its workers accept, from the same queues
//   retires: its workers accept no more                |
//      |--- kYours ----------------------------------->|  takes pid file and control socket
//   ends with its last connection
//
// Both accept for a moment, on the same sockets (not on sockets of the same address: the queues are
// common), so nobody waits in a queue that goes away and nobody is refused in between.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "master/master_process.h"
#include "postern/base/limits.h"
#include "postern/base/log.h"
#include "postern/os/clock.h"

namespace postern::master {
namespace {

// What loading may take beyond waiting for workers: tens of thousands of certificates, names that
// resolve slowly.
constexpr uint64_t kLoadingMs = 110'000;
// How often a retired master says how many connections it holds, when that has not changed: whom it
// tells may be another meanwhile.
constexpr uint64_t kHoldingEveryMs = 5'000;

void SendFile(HandoverChannel& channel, HandoverType type, const std::string& path, int fd) {
  if (fd < 0) return;
  HandoverMessage message;
  message.type = type;
  message.text = path;
  channel.Send(message, {fd});
}

void SendSockets(HandoverChannel& channel, const std::vector<ListenerSet::Held>& held) {
  for (size_t from = 0; from < held.size(); from += limits::kMaxPassedDescriptors) {
    HandoverMessage message;
    message.type = HandoverType::kSockets;
    std::vector<int> fds;
    const size_t to = std::min(held.size(), from + limits::kMaxPassedDescriptors);
    for (size_t i = from; i < to; ++i) {
      message.sockets.push_back({held[i].wanted, held[i].v6_only});
      fds.push_back(held[i].fd);
    }
    channel.Send(message, fds);
  }
}

}  // namespace

// --- The master that is to be replaced ---

void MasterProcess::RequestUpgrade(std::string_view by, Reloader::Answer answer, uint64_t now_ms) {
  const char* obstacle = nullptr;
  if (upgrade_ != nullptr || upgrade_wanted_) {
    obstacle = "an upgrade is under way already";
  } else if (stage_ == Stage::kStarting || succeeding_) {
    obstacle = "this process is only just starting";
  } else if (stage_ != Stage::kServing) {
    obstacle = "this process is ending";
  } else if (::getpid() == 1) {
    obstacle = "this is the first process of its container, which would end with it";
  } else if (!options_.spawn_successor) {
    obstacle = "this program cannot start another";
  }
  if (obstacle != nullptr) {
    LogLine(LogLevel::kWarning, "upgrade not begun").Field("by", by).Field("reason", obstacle);
    if (answer) answer({false, obstacle});
    return;
  }
  LogLine(LogLevel::kNotice, "upgrade requested").Field("by", by);
  upgrade_by_ = by;
  upgrade_answer_ = std::move(answer);
  upgrade_wanted_ = true;
  // What a reload is about to change must not be what is passed on.
  if (!reloader_->busy()) BeginUpgrade(now_ms);
}

void MasterProcess::BeginUpgrade(uint64_t now_ms) {
  upgrade_wanted_ = false;
  Upgrade::Options options;
  options.spawn = [this](int channel) {
    return options_.spawn_successor(channel, manager_.Variables());
  };
  options.here_timeout_ms = config_->prepare_timeout_ms;
  options.serve_timeout_ms = config_->prepare_timeout_ms + kLoadingMs;
  Result<std::unique_ptr<Upgrade>> begun = Upgrade::Begin(options, now_ms);
  if (!begun) return UpgradeFailed(begun.error().ToString() + '\n');
  upgrade_ = std::move(*begun);
  LogLine(LogLevel::kNotice, "upgrade begun").Field("pid", upgrade_->pid());
  SendInheritance(upgrade_->channel());
}

void MasterProcess::SendInheritance(HandoverChannel& channel) const {
  SendSockets(channel, rollout_->current().listeners.List());
  // Keys from files are the new one's own to read.
  if (rotates_tickets()) {
    HandoverMessage keys;
    keys.type = HandoverType::kTicketKeys;
    keys.number = tickets_rotated_ms_;
    channel.Send(keys, {tickets_->fd()});
  }
  SendFile(channel, HandoverType::kSessionIds, {}, session_ids_->fd());
  SendFile(channel, HandoverType::kPidFile, pid_file_.path(), pid_file_.fd());
  if (control_ != nullptr) {
    SendFile(channel, HandoverType::kControl, config_->process.control_socket,
             control_->listener());
  }
  elders_.PassOn(channel);
  channel.Send(HandoverType::kEnd, static_cast<uint64_t>(::getpid()));
}

void MasterProcess::RunUpgrade(uint64_t now_ms) {
  if (upgrade_wanted_ && !reloader_->busy()) BeginUpgrade(now_ms);
  if (upgrade_ == nullptr) return;
  upgrade_->Run(now_ms);
  switch (upgrade_->state()) {
    case Upgrade::State::kStarting:
      return;
    case Upgrade::State::kServing:
      return Retire();
    case Upgrade::State::kFailed:
      return UpgradeFailed(upgrade_->reason());
  }
}

void MasterProcess::ConcludeUpgrade(const admin::Reply& reply) {
  if (upgrade_answer_) std::exchange(upgrade_answer_, nullptr)(reply);
}

// Whatever the new process has begun ends with it; here nothing has changed.
void MasterProcess::UpgradeFailed(const std::string& reason) {
  const std::string why = reason;  // of what goes right below
  upgrade_.reset();
  upgrade_wanted_ = false;
  LogLine(LogLevel::kError, "upgrade failed")
      .Field("by", upgrade_by_)
      .Field("reason", why.substr(0, why.find_last_not_of('\n') + 1));
  ConcludeUpgrade({false, why + "nothing has changed: what served goes on serving\n"});
  if (stage_ != Stage::kServing) return;
  for (Reloader::Answer& answer : std::exchange(early_reloads_, {})) {
    Reload("an order during the upgrade", std::move(answer), os::MonotonicMs());
  }
}

void MasterProcess::Retire() {
  successor_ = std::move(upgrade_->channel());
  successor_pid_ = upgrade_->pid();
  if ((upgrade_->shares() & kSharesSessionIds) != 0) session_ids_->HandOver();
  upgrade_.reset();
  LogLine(LogLevel::kNotice, "retired")
      .Field("by", upgrade_by_)
      .Field("successor", successor_pid_)
      .Field("connections", Connections());
  // The manager believes the process that it knows; what the new one says comes after this.
  manager_.Notify(fmt::format("MAINPID={}", successor_pid_));
  manager_ = os::ServiceManager();
  watchdog_due_ms_.reset();

  // For reloads that came meanwhile, what the new one has read may be too old.
  const bool reload = !early_reloads_.empty();
  const std::string gone = fmt::format(
      "process {} has taken over, and was told to reload: ask it again", successor_pid_);
  for (const Reloader::Answer& answer : std::exchange(early_reloads_, {})) {
    if (answer) answer({false, gone});
  }
  stage_ = Stage::kRetired;
  StopServing(gone);
  supervisor_->SendAll(worker::MessageType::kDrain, worker::kNoDrainLimit);
  ConcludeUpgrade({true, fmt::format("process {} serves; this one, {}, ends with its last of {} "
                                     "connections",
                                     successor_pid_, ::getpid(), Connections())});
  pid_file_.Disown();
  if (control_ != nullptr) control_->HandOver();
  elders_.Forget();
  successor_.Send(HandoverType::kYours);
  if (reload) successor_.Send(HandoverType::kReload);
}

// The one that serves speaks for those before it. Without it nobody would know of us.
void MasterProcess::ObeySuccessor(uint64_t now_ms) {
  if (!successor_.open()) return;
  successor_.Flush();
  HandoverMessage message;
  while (successor_.Receive(message) == HandoverChannel::Outcome::kMessage) {
    if (message.type == HandoverType::kDrain) {
      BeginDrain("the process that serves", message.number, now_ms);
    } else if (message.type == HandoverType::kQuit) {
      BeginQuit("the process that serves", now_ms);
    } else if (message.type == HandoverType::kReopenLog) {
      std::ignore = ReopenLog();
    }
  }
  if (!successor_.open()) {
    BeginDrain("the end of the process that served", config_->drain_timeout_ms, now_ms);
  } else {
    TellHolding(now_ms);
  }
}

void MasterProcess::TellHolding(uint64_t now_ms) {
  const uint64_t holding = Connections();
  const bool news = holding != holding_told_ || now_ms >= holding_told_ms_ + kHoldingEveryMs;
  if (!news || successor_.wants_write()) return;
  holding_told_ = holding;
  holding_told_ms_ = now_ms;
  successor_.Send(HandoverType::kHolding, holding);
}

uint64_t MasterProcess::Connections() const {
  uint64_t sum = 0;
  for (uint32_t id = 0; id < supervisor_->size(); ++id) {
    const WorkerView view = supervisor_->View(id);
    if (view.pid != 0) sum += view.counters->connections.Get();
  }
  return sum;
}

// --- The one that takes its place ---

void MasterProcess::HearPredecessor() {
  HandoverChannel& predecessor = options_.inheritance.predecessor;
  if (!succeeding_) return;
  predecessor.Flush();
  HandoverMessage message;
  while (succeeding_ && predecessor.Receive(message) == HandoverChannel::Outcome::kMessage) {
    if (message.type == HandoverType::kYours) TakeOver();
  }
  // It has died: its sockets and files are ours all the same, as soon as we serve.
  if (succeeding_ && !predecessor.open() && stage_ == Stage::kServing) TakeOver();
}

void MasterProcess::TakeOver() {
  Inheritance& inheritance = options_.inheritance;
  succeeding_ = false;
  for (Inheritance::Elder& elder : inheritance.elders) {
    elders_.Add(elder.pid, HandoverChannel(std::move(elder.channel)));
  }
  inheritance.elders.clear();
  inheritance.ticket_keys.Reset();
  session_ids_->Own();
  session_ids_->SetLifetime(config_->session_cache.lifetime_s);
  elders_.Add(inheritance.predecessor_pid, std::exchange(inheritance.predecessor, {}));
  TakeOverFiles();
  LogLine(LogLevel::kNotice, "taken over").Field("predecessor", inheritance.predecessor_pid);
  if (stage_ == Stage::kServing) TellServing();
}

// What the new configuration names elsewhere is made there already; the old file goes.
void MasterProcess::TakeOverFiles() {
  Inheritance::File pid_file = std::exchange(options_.inheritance.pid_file, {});
  if (pid_file.fd.valid()) {
    Result<os::PidFile> file = os::PidFile::Adopt(pid_file.path, std::move(pid_file.fd));
    if (!file) {
      LogLine(LogLevel::kError, "pid file not taken over").Field("reason", file.error().ToString());
    } else if (pid_file.path == config_->process.pid_file) {
      pid_file_ = std::move(*file);
    }
  }
  Inheritance::File control = std::exchange(options_.inheritance.control, {});
  if (control.fd.valid()) {
    auto server =
        admin::ControlServer::Adopt(control.path, std::move(control.fd),
                                    [this](const admin::Request& request) { OnRequest(request); });
    if (control.path == config_->process.control_socket) control_ = std::move(server);
  }
}

// --- Both ---

void MasterProcess::AddSuccessionFds(std::vector<pollfd>& fds) const {
  if (upgrade_ != nullptr) upgrade_->AddPollFds(fds);
  successor_.AddPollFd(fds);
  options_.inheritance.predecessor.AddPollFd(fds);
  elders_.AddPollFds(fds);
}

void MasterProcess::RunSuccession(uint64_t now_ms) {
  HearPredecessor();
  if (elders_.Run()) Reload("an order to the predecessor", nullptr, now_ms);
  RunUpgrade(now_ms);
  ObeySuccessor(now_ms);
}

}  // namespace postern::master
