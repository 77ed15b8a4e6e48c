// What the master is told to do, by signals and over the control socket, and how it ends.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <tuple>
#include <utility>

#include "master/master_process.h"
#include "master/status.h"
#include "postern/base/log.h"
#include "postern/os/clock.h"

namespace postern::master {
namespace {

// Workers that have not ended this long after their drain time are stuck.
constexpr uint64_t kDrainGraceMs = 5'000;
constexpr uint64_t kQuitGraceMs = 1'000;

constexpr const char* kStopping = "Postern is stopping";

std::string Asker(const admin::Request& request) {
  return fmt::format("control socket, process {} of user {}", request.pid, request.uid);
}

}  // namespace

void MasterProcess::OnSignal(int signal, uint64_t now_ms) {
  switch (signal) {
    case SIGCHLD:
      supervisor_->Reap(now_ms);
      if (successor_pid_ > 0 && ::waitpid(successor_pid_, nullptr, WNOHANG) == successor_pid_) {
        successor_pid_ = 0;
      }
      return;
    case SIGHUP:
      Reload("SIGHUP", nullptr, now_ms);
      return;
    case SIGUSR1:
      std::ignore = ReopenLog();
      return;
    case SIGTERM:
      stage_ < Stage::kDraining ? BeginDrain("SIGTERM", config_->drain_timeout_ms, now_ms)
                                : BeginQuit("a second SIGTERM", now_ms);
      return;
    case SIGUSR2:
      RequestUpgrade("SIGUSR2", nullptr, now_ms);
      return;
    case SIGINT:
      BeginQuit("SIGINT", now_ms);
      return;
    default:
      LogLine(LogLevel::kNotice, "signal ignored").Field("signal", signal);
      return;
  }
}

void MasterProcess::OnRequest(const admin::Request& request) {
  const uint64_t now_ms = os::MonotonicMs();
  const std::string& line = request.line;
  if (line == "status" || line == "status json") {
    // Scripts wait with it for the start to be over: until then nothing listens.
    control_->Answer(request.client, {stage_ != Stage::kStarting, Report(line == "status json")});
  } else if (line == "reload") {
    const auto answer = [this, client = request.client](const admin::Reply& reply) {
      control_->Answer(client, reply);
    };
    Reload(Asker(request), answer, now_ms);
  } else if (line == "upgrade") {
    const auto answer = [this, client = request.client](const admin::Reply& reply) {
      control_->Answer(client, reply);
    };
    RequestUpgrade(Asker(request), answer, now_ms);
  } else if (line == "reopen") {
    const Status reopened = ReopenLog();
    control_->Answer(request.client, reopened ? admin::Reply{true, "log reopened"}
                                              : admin::Reply{false, reopened.error().ToString()});
  } else if (line == "rotate tickets") {
    control_->Answer(request.client, OrderRotation(Asker(request), now_ms));
  } else if (line == "stop") {
    control_->Answer(request.client, {true, fmt::format("draining: connections have {} s to end",
                                                        config_->drain_timeout_ms / 1000)});
    BeginDrain(Asker(request), config_->drain_timeout_ms, now_ms);
  } else if (line == "stop now") {
    control_->Answer(request.client, {true, "stopping at once"});
    BeginQuit(Asker(request), now_ms);
  } else {
    control_->Answer(request.client,
                     {false,
                      "unknown request; there are: status, status json, reload, upgrade, reopen, "
                      "rotate tickets, stop, stop now"});
  }
}

void MasterProcess::Reload(std::string_view by, Reloader::Answer answer, uint64_t now_ms) {
  LogLine(LogLevel::kNotice, "reload requested").Field("by", by);
  if (stage_ == Stage::kStarting || upgrade_ != nullptr) {
    early_reloads_.push_back(std::move(answer));
    return;
  }
  if (stage_ == Stage::kServing) {
    Notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now_ms * 1'000));
    reload_told_ = true;
  }
  reloader_->Request(std::move(answer), now_ms, std::string(by));
}

admin::Reply MasterProcess::OrderRotation(std::string_view by, uint64_t now_ms) {
  if (!rotates_tickets()) {
    return {false,
            "the ticket keys come from [tickets] files: write a new one there, on every machine "
            "that shares them, and reload"};
  }
  if (upgrade_ != nullptr) return {false, "an upgrade is under way: ask again after it"};
  // Somebody may have read the page, and the next key with it.
  const Status rotated = tickets_->RotateAnew();
  NoteRotation(rotated, by, now_ms);
  if (!rotated) return {false, rotated.error().ToString()};
  return {true, "a new ticket key seals; the three before it open"};
}

Status MasterProcess::ReopenLog() {
  Status reopened = log_->Reopen();
  if (!reopened) {
    LogLine(LogLevel::kError, "log not reopened")
        .Field("reason", reopened.error().ToString())
        .Field("action", "going on with the old one");
    return reopened;
  }
  supervisor_->SendLog();
  elders_.SendAll(HandoverType::kReopenLog);
  LogLine(LogLevel::kNotice, "log reopened");
  return {};
}

void MasterProcess::Adopt(const ConfigPtr& adopted, const LoadedGeneration& loaded,
                          std::optional<LogTarget> target) {
  const config::Config& config = *adopted;
  UseTicketKeys(config_->tickets, loaded.ticket_keys);
  session_ids_->SetLifetime(config.session_cache.lifetime_s);
  if (target) {
    log_->Use(std::move(*target));
  } else {
    log_->Adjust(config.log);
  }
  config_ = adopted;
  supervisor_->SendLog();
  supervisor_->set_start(StartTemplate(config));
  supervisor_->set_start_timeout(config.prepare_timeout_ms);
  watch_->Follow(config_, loaded.watched_state);
  reload_told_ = true;  // by whomever it was asked for: the status says what serves
}

void MasterProcess::RunDeadlines(uint64_t now_ms) {
  if (const std::optional<uint64_t> due_ms = RotationDueMs(); due_ms && now_ms >= *due_ms) {
    NoteRotation(tickets_->Rotate(), "[tickets] rotate", now_ms);
  }
  if (watchdog_due_ms_ && now_ms >= *watchdog_due_ms_) {
    Notify("WATCHDOG=1");
    watchdog_due_ms_ = now_ms + *manager_.watchdog_ms();
  }
  if (!stage_ends_ms_ || now_ms < *stage_ends_ms_) return;
  stage_ends_ms_.reset();
  if (supervisor_->running() == 0 && elders_.empty()) return;
  LogLine(LogLevel::kWarning, "workers killed")
      .Field("workers", supervisor_->running())
      .Field("reason", "they did not end in time");
  stage_ = Stage::kKilling;
  supervisor_->KillAll();
  elders_.KillAll();
  elders_.Forget();
}

// From here on nothing new is taken up: no restarts, no reloads. The master lets go of the
// listening sockets; a worker closes its own when it has taken what waited in their queues, so
// that from then on the kernel refuses who comes.
void MasterProcess::StopServing(const std::string& why) {
  if (upgrade_ != nullptr || upgrade_wanted_) UpgradeFailed(why + '\n');
  supervisor_->StopRestarting();
  watch_->Stop();
  reloader_->Stop(why);
  for (Reloader::Answer& answer : std::exchange(early_reloads_, {})) {
    reloader_->Request(std::move(answer), os::MonotonicMs());  // which refuses it
  }
  rollout_->Cancel(why);
  rollout_->CloseListeners();
}

void MasterProcess::BeginDrain(std::string_view by, uint64_t timeout_ms, uint64_t now_ms) {
  if (stage_ >= Stage::kDraining) return;
  {
    LogLine line(LogLevel::kNotice, "draining");
    line.Field("by", by).FieldMs("timeout", timeout_ms);
  }
  if (stage_ < Stage::kRetired) StopServing(kStopping);
  stage_ = Stage::kDraining;
  supervisor_->SendAll(worker::MessageType::kDrain, timeout_ms);
  elders_.SendAll(HandoverType::kDrain, timeout_ms);
  stage_ends_ms_ = now_ms + timeout_ms + kDrainGraceMs;
  TellEnding(fmt::format("Draining: connections have {} s to end", timeout_ms / 1000),
             timeout_ms + kDrainGraceMs + kQuitGraceMs);
}

void MasterProcess::BeginQuit(std::string_view by, uint64_t now_ms) {
  if (stage_ >= Stage::kQuitting) return;
  LogLine(LogLevel::kNotice, "ending at once").Field("by", by);
  StopServing(kStopping);
  stage_ = Stage::kQuitting;
  supervisor_->SendAll(worker::MessageType::kQuit);
  elders_.SendAll(HandoverType::kQuit);
  stage_ends_ms_ = now_ms + kQuitGraceMs;
  TellEnding("Ending at once", kQuitGraceMs + kQuitGraceMs);
}

std::string_view MasterProcess::StageName() const {
  switch (stage_) {
    case Stage::kStarting:
      return "starting";
    case Stage::kServing:
      return "serving";
    case Stage::kRetired:
    case Stage::kDraining:
      return "draining";
    case Stage::kQuitting:
    case Stage::kKilling:
      return "ending";
  }
  return "unknown";
}

std::string MasterProcess::Report(bool json) const {
  const uint64_t now_ms = os::MonotonicMs();
  StatusReport report;
  report.state = StageName();
  report.pid = ::getpid();
  report.uptime_ms = now_ms - started_ms_;
  report.config_path = options_.config_path;
  report.now_s = os::WallSeconds();
  for (uint32_t id = 0; id < supervisor_->size(); ++id) {
    report.workers.push_back(DescribeWorker(supervisor_->View(id), now_ms));
    StatusReport::Worker& worker = report.workers.back();
    if (worker.pid != 0 && stage_ >= Stage::kRetired) worker.state = StageName();
  }
  report.addresses = addresses_->Look(now_ms);
  DescribeGeneration(report, rollout_->current(), *config_);
  DescribeParts(report, rollout_->holdings());
  report.session_ids = session_ids_->Counts();
  report.session_id_slots = session_ids_->slots();
  report.reload_running = reloader_->busy();
  report.last_reload = reloader_->last();
  for (const Elders::View& elder : elders_.List()) {
    report.retired.push_back({elder.pid, elder.connections});
  }
  report.successor = upgrade_ == nullptr ? 0 : upgrade_->pid();
  report.watch = watch_->Mode();
  for (const Error& error : watch_->waiting()) report.waiting.push_back(error.ToString());
  return json ? FormatStatusJson(report) : FormatStatus(report);
}

}  // namespace postern::master
