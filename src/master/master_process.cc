// The making of the master and its loop. Orders (signals, control requests) and the end are in
// orders.cc.
#include "master/master_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "postern/base/limits.h"
#include "postern/base/log.h"
#include "postern/master/identity.h"
#include "postern/os/clock.h"
#include "postern/os/files.h"
#include "postern/worker/sandbox.h"

namespace postern::master {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? std::string("/") : path.substr(0, slash);
}

uint32_t WorkerCount(const config::Process& process, const std::vector<int>& cpus) {
  const auto count = process.workers == 0 ? static_cast<uint32_t>(cpus.size()) : process.workers;
  return std::clamp(count, uint32_t{1}, limits::kMaxWorkers);
}

// Adds a failure to `faults`; whether there was none.
bool Note(const Status& status, std::vector<Error>& faults) {
  if (!status) faults.push_back(status.error());
  return status.has_value();
}

}  // namespace

MasterProcess::MasterProcess(MasterOptions options, LoadedGeneration& first)
    : options_(std::move(options)),
      config_(std::move(first.config)),
      started_ms_(os::MonotonicMs()),
      tickets_rotated_ms_(started_ms_),
      log_(std::make_unique<MasterLog>()),
      first_watched_state_(first.watched_state) {
  first_.generation = std::move(first.generation);
  if (manager_.watchdog_ms()) watchdog_due_ms_ = started_ms_;
}

std::unique_ptr<MasterProcess> MasterProcess::Create(MasterOptions options, LoadedGeneration first,
                                                     std::vector<Error>& faults) {
  std::unique_ptr<MasterProcess> master(new MasterProcess(std::move(options), first));
  const Result<os::Identity> identity = WorkerIdentity(master->config_.process);
  if (!identity) faults.push_back(identity.error());
  Result<LogTarget> target = OpenLog(master->config_.log);
  if (!target) faults.push_back(target.error());
  const Status empty_root = worker::EmptyRootPossible(master->config_);
  master->empty_root_ = empty_root.has_value();
  if (!Note(master->MakeFiles(), faults) || !faults.empty()) return nullptr;
  if (!Note(master->MakeWorkers(*identity, first.ticket_keys), faults)) return nullptr;
  auto listeners = ListenerSet::Make(master->first_.generation->sockets,
                                     master->supervisor_->size(), ListenerSet());
  if (!listeners) {
    faults = listeners.error();
    return nullptr;
  }
  master->first_.listeners = std::move(*listeners);
  master->log_->Use(std::move(*target));
  if (!empty_root) {
    LogLine(LogLevel::kInfo, "workers keep the root directory")
        .Field("reason", empty_root.error().ToString());
  }
  LogWarnings(first.warnings);
  return master;
}

// The pid file comes first: its lock keeps a second master from everything else.
Status MasterProcess::MakeFiles() {
  const config::Process& process = config_.process;
  if (!process.pid_file.empty()) {
    if (Status made = os::MakeDirectories(DirectoryOf(process.pid_file), 0755); !made) return made;
    Result<os::PidFile> file = os::PidFile::Create(process.pid_file);
    if (!file) return Fail(file.error().what, file.error().remedy, process.where);
    pid_file_ = std::move(*file);
  }
  if (!process.control_socket.empty()) {
    const std::string directory = DirectoryOf(process.control_socket);
    if (Status made = os::MakeDirectories(directory, 0755); !made) return made;
    auto control = admin::ControlServer::Open(
        process.control_socket, [this](const admin::Request& request) { OnRequest(request); });
    if (!control) return Fail(control.error().what, control.error().remedy, process.where);
    control_ = std::move(*control);
  }
  auto signals = os::MakeSignalFd({SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2});
  if (!signals) return std::unexpected(signals.error());
  signals_ = std::move(*signals);
  return {};
}

worker::Start MasterProcess::StartTemplate(const config::Config& config) const {
  worker::Start start;
  start.uid = identity_.uid;
  start.gid = identity_.gid;
  start.buffers = config.limits.buffers;
  start.max_connections = config.limits.connections;
  start.sandbox = config_.process.sandbox;
  start.empty_root = empty_root_;
  return start;
}

Status MasterProcess::MakeWorkers(const os::Identity& identity,
                                  const shm::TicketKeyList& ticket_keys) {
  identity_ = identity;
  auto tickets = shm::TicketKeyMaster::Create();
  if (!tickets) return std::unexpected(tickets.error());
  tickets_ = std::move(*tickets);
  if (!ticket_keys.empty()) tickets_->Use(ticket_keys.get());
  const std::vector<int> cpus = os::AllowedCpus();
  const uint32_t workers = WorkerCount(config_.process, cpus);
  auto addresses = shm::AddressTableMaster::Create(config_.limits.addresses, workers);
  if (!addresses) return std::unexpected(addresses.error());
  addresses_ = std::move(*addresses);
  auto rollout = Rollout::Create();
  if (!rollout) return std::unexpected(rollout.error());
  rollout_ = std::move(*rollout);

  SupervisorOptions options;
  options.workers = workers;
  if (config_.process.pin) options.cpus = cpus;
  options.start = StartTemplate(config_);
  options.control_page_fd = rollout_->control_page_fd();
  options.ticket_keys_fd = tickets_->fd();
  options.addresses_fd = addresses_->fd();
  options.bury = [this](uint32_t worker) { addresses_->Forget(worker); };
  options.start_timeout_ms = config_.prepare_timeout_ms;
  options.spawn = options_.spawn;
  options.log = [this] { return log_->ForWorkers(); };
  auto supervisor = Supervisor::Create(std::move(options), *rollout_);
  if (!supervisor) return std::unexpected(supervisor.error());
  supervisor_ = std::move(*supervisor);
  rollout_->set_supervisor(supervisor_.get());

  auto reloader =
      Reloader::Create(config_, supervisor_->size(), *rollout_, *log_, options_.load,
                       [this](const LoadedGeneration& loaded, std::optional<LogTarget> target) {
                         Adopt(loaded, std::move(target));
                       });
  if (!reloader) return std::unexpected(reloader.error());
  reloader_ = std::move(*reloader);

  CertificateWatch::Options watching;
  watching.busy = [this] { return reloader_->busy(); };
  watching.reload = [this](Reloader::FilesAnswer answer, uint64_t now_ms) {
    reloader_->RequestFiles(std::move(answer), now_ms);
  };
  auto watch = CertificateWatch::Create(std::move(watching));
  if (!watch) return std::unexpected(watch.error());
  watch_ = std::move(*watch);
  return {};
}

Status MasterProcess::Run() {
  const uint64_t now_ms = os::MonotonicMs();
  rollout_->Begin(std::move(first_), config_.prepare_timeout_ms, now_ms,
                  [this](const Status& status) { Started(status); });
  if (Status started = supervisor_->StartAll(now_ms); !started) {
    rollout_->Cancel(started.error().ToString());
  }
  do {
    Turn();
  } while (stage_ < Stage::kDraining || supervisor_->running() > 0);
  if (control_ != nullptr) control_->Flush(os::MonotonicMs() + 1'000);
  LogLine(refused_ ? LogLevel::kNotice : LogLevel::kError, "stopped");
  return refused_;
}

void MasterProcess::Started(const Status& status) {
  if (stage_ != Stage::kStarting) return;  // told to end meanwhile
  if (!status) {
    refused_ = status;
    BeginQuit("a failed start", os::MonotonicMs());
    return;
  }
  stage_ = Stage::kServing;
  LogServing();
  TellServing();
  watch_->Follow(config_, first_watched_state_);
  for (Reloader::Answer& answer : std::exchange(early_reloads_, {})) {
    reloader_->Request(std::move(answer), os::MonotonicMs(), "an order before the start");
  }
}

void MasterProcess::LogServing() const {
  std::string addresses;
  const Proposal& current = rollout_->current();
  for (size_t i = 0; i < current.listeners.size(); ++i) {
    addresses += fmt::format("{}{}={}", i == 0 ? "" : " ", current.generation->sockets[i].listener,
                             current.listeners.bound(i).ToString());
  }
  LogLine(LogLevel::kNotice, "serving")
      .Field("version", POSTERN_VERSION)
      .Field("generation", current.generation->number)
      .Field("workers", supervisor_->size())
      .Field("user", identity_.user)
      .Field("certificates", current.generation->certificates)
      .Field("listeners", addresses);
}

void MasterProcess::TellServing() {
  reload_told_ = false;
  const generation::Generation& now = *rollout_->current().generation;
  std::string status = fmt::format("Serving, generation {}, {} certificate{}", now.number,
                                   now.certificates, now.certificates == 1 ? "" : "s");
  const std::optional<ReloadResult>& last = reloader_->last();
  if (last && !last->ok) {
    // The first of the reasons, whatever their number: a status is one line.
    status += "; the last reload was refused: " + last->text.substr(0, last->text.find('\n'));
  }
  manager_.Notify("READY=1\nSTATUS=" + status);
}

void MasterProcess::TellEnding(std::string_view what, uint64_t within_ms) const {
  manager_.Notify(
      fmt::format("STOPPING=1\nSTATUS={}\nEXTEND_TIMEOUT_USEC={}", what, within_ms * 1'000));
}

std::optional<uint64_t> MasterProcess::NextDeadlineMs() const {
  std::optional<uint64_t> next;
  if (rotates_tickets()) next = tickets_rotated_ms_ + config_.tickets.rotate_s * 1000;
  const auto consider = [&](const std::optional<uint64_t>& when) {
    if (when) next = std::min(next.value_or(*when), *when);
  };
  consider(stage_ends_ms_);
  consider(watchdog_due_ms_);
  consider(supervisor_->NextDeadlineMs());
  consider(rollout_->NextDeadlineMs());
  consider(watch_->NextDeadlineMs());
  if (control_ != nullptr) consider(control_->NextDeadlineMs());
  return next;
}

// One turn: wait, then let everybody do what they can without waiting. Which descriptor was ready
// is not looked at beyond waking up: turns are rare, and asking a few idle sockets costs nothing.
void MasterProcess::Turn() {
  std::vector<pollfd> fds = {{signals_.get(), POLLIN, 0}, {reloader_->fd(), POLLIN, 0}};
  supervisor_->AddPollFds(fds);
  watch_->AddPollFds(fds);
  if (control_ != nullptr) control_->AddPollFds(fds);
  const uint64_t before_ms = os::MonotonicMs();
  const uint64_t deadline_ms = NextDeadlineMs().value_or(UINT64_MAX);
  const uint64_t wait_ms = deadline_ms - std::min(deadline_ms, before_ms);
  ::poll(fds.data(), fds.size(), static_cast<int>(std::min<uint64_t>(wait_ms, 3'600'000)));

  const uint64_t now_ms = os::MonotonicMs();
  while (const std::optional<int> signal = os::ReadSignal(signals_.get())) {
    OnSignal(*signal, now_ms);
  }
  if (log_->TakeReconnected()) supervisor_->SendLog();
  supervisor_->Run(now_ms);
  rollout_->Run(now_ms);
  reloader_->Run(now_ms);
  if (reload_told_ && !reloader_->busy() && stage_ == Stage::kServing) TellServing();
  watch_->Run(now_ms);
  if (control_ != nullptr) control_->Run(now_ms);
  RunDeadlines(now_ms);
}

// By the timer or by order. Keys from files are rotated by whoever writes them.
Status MasterProcess::RotateTickets(std::string_view by, uint64_t now_ms) {
  tickets_rotated_ms_ = now_ms;
  if (Status rotated = tickets_->Rotate(); !rotated) {
    LogLine(LogLevel::kError, "ticket keys not rotated").Field("reason", rotated.error().what);
    return rotated;
  }
  LogLine(LogLevel::kInfo, "ticket keys rotated").Field("by", by);
  return {};
}

// After a reload. Keys of our own stay as they are; when files take their place, or give it back,
// the others' are gone at once: who has a ticket shakes hands in full.
void MasterProcess::UseTicketKeys(const config::Tickets& before, const shm::TicketKeyList& files) {
  if (!files.empty()) {
    tickets_->Use(files.get());
  } else if (!before.files.empty()) {
    tickets_->Use({});
    std::ignore = RotateTickets("a reload without [tickets] files", os::MonotonicMs());
  }
}

}  // namespace postern::master
