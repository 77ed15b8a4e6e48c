// The making of the master and its loop. Orders (signals, control requests) and the end are in
// orders.cc, upgrades in succession.cc.
#include "master/master_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
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
      config_(std::make_shared<const config::Config>(std::move(first.config))),
      started_ms_(os::MonotonicMs()),
      tickets_rotated_ms_(started_ms_),
      log_(std::make_unique<MasterLog>()),
      first_watched_state_(first.watched_state) {
  first_.generation = std::move(first.generation);
  succeeding_ = options_.inheritance.predecessor.open();
  if (manager_.watchdog_ms()) watchdog_due_ms_ = started_ms_;
}

std::unique_ptr<MasterProcess> MasterProcess::Create(MasterOptions options, LoadedGeneration first,
                                                     std::vector<Error>& faults) {
  std::unique_ptr<MasterProcess> master(new MasterProcess(std::move(options), first));
  if (master->Make(first, faults)) return master;
  master->options_.inheritance.Refuse(faults);
  return nullptr;
}

bool MasterProcess::Make(LoadedGeneration& first, std::vector<Error>& faults) {
  const Result<os::Identity> identity = WorkerIdentity(config_->process);
  if (!identity) faults.push_back(identity.error());
  Result<LogTarget> target = OpenLog(config_->log);
  if (!target) faults.push_back(target.error());
  const Status empty_root = worker::EmptyRootPossible(*config_);
  empty_root_ = empty_root.has_value();
  if (!Note(MakeFiles(), faults) || !faults.empty()) return false;
  if (!Note(MakeWorkers(*identity, first.ticket_keys), faults)) return false;
  const ListenerSet inherited =
      ListenerSet::Inherit(std::exchange(options_.inheritance.sockets, {}));
  auto listeners = ListenerSet::Make(first_.generation->sockets, supervisor_->size(), inherited);
  if (!listeners) {
    faults = listeners.error();
    return false;
  }
  first_.listeners = std::move(*listeners);
  log_->Use(std::move(*target));
  if (!empty_root) {
    LogLine(LogLevel::kInfo, "workers keep the root directory")
        .Field("reason", empty_root.error().ToString());
  }
  LogWarnings(first.warnings);
  if (!succeeding_) {
    for (const ListenerSet::Held& held : first_.listeners.Unused(inherited)) {
      LogLine(LogLevel::kWarning, "passed socket not used")
          .Field("name", held.name)
          .Field("address", held.wanted.ToString())
          .Field("reason", held.v6_only ? "no listener has this address"
                                        : "no listener has this address for IPv6 and IPv4");
    }
  }
  return true;
}

// The pid file comes first: its lock keeps a second master from everything else. What a predecessor
// has is left to it until it retires (TakeOver).
Status MasterProcess::MakeFiles() {
  const config::Process& process = config_->process;
  const Inheritance::File& theirs = options_.inheritance.pid_file;
  if (!process.pid_file.empty() && !(theirs.fd.valid() && theirs.path == process.pid_file)) {
    if (Status made = os::MakeDirectories(DirectoryOf(process.pid_file), 0755); !made) return made;
    Result<os::PidFile> file = os::PidFile::Create(process.pid_file);
    if (!file) return Fail(file.error().what, file.error().remedy, process.where);
    pid_file_ = std::move(*file);
  }
  if (Status made = MakeControl(); !made) return made;
  auto signals = os::MakeSignalFd({SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2});
  if (!signals) return std::unexpected(signals.error());
  signals_ = std::move(*signals);
  return {};
}

Status MasterProcess::MakeControl() {
  const config::Process& process = config_->process;
  const Inheritance::File& theirs = options_.inheritance.control;
  if (process.control_socket.empty()) return {};
  if (theirs.fd.valid() && theirs.path == process.control_socket) return {};
  const std::string directory = DirectoryOf(process.control_socket);
  if (Status made = os::MakeDirectories(directory, 0755); !made) return made;
  auto control = admin::ControlServer::Open(
      process.control_socket, [this](const admin::Request& request) { OnRequest(request); });
  if (!control) return Fail(control.error().what, control.error().remedy, process.where);
  control_ = std::move(*control);
  return {};
}

worker::Start MasterProcess::StartTemplate(const config::Config& config) const {
  worker::Start start;
  start.uid = identity_.uid;
  start.gid = identity_.gid;
  start.buffers = config.limits.buffers;
  start.max_connections = config.limits.connections;
  start.sandbox = config_->process.sandbox;
  start.empty_root = empty_root_;
  return start;
}

Status MasterProcess::MakeTickets(const shm::TicketKeyList& ticket_keys) {
  auto tickets = shm::TicketKeyMaster::Create();
  if (!tickets) return std::unexpected(tickets.error());
  tickets_ = std::move(*tickets);
  const Inheritance& inheritance = options_.inheritance;
  if (!ticket_keys.empty()) {
    tickets_->Use(ticket_keys.get());
  } else if (inheritance.ticket_keys.valid()) {
    if (Status inherited = tickets_->Inherit(inheritance.ticket_keys.get()); inherited) {
      tickets_rotated_ms_ = inheritance.tickets_rotated_ms;
    } else {
      LogLine(LogLevel::kNotice, "ticket keys not inherited")
          .Field("reason", inherited.error().what);
    }
  }
  return {};
}

// A predecessor's region is shared with it: its workers go on to look into it, and it stays as it
// is should nothing come of this process. (TakeOver makes it ours.)
Status MasterProcess::MakeSessionIds() {
  const config::SessionCache& wanted = config_->session_cache;
  os::UniqueFd theirs = std::move(options_.inheritance.session_ids);
  if (theirs.valid()) {
    auto inherited = shm::SessionIdCacheMaster::FromFd(std::move(theirs));
    if (inherited && inherited->slots() == shm::SessionIdCacheMaster::SlotsFor(wanted.entries)) {
      session_ids_.emplace(std::move(*inherited));
      shares_session_ids_ = true;
      return {};
    }
    LogLine(LogLevel::kNotice, "sessions by ID not inherited")
        .Field("reason", inherited ? "[session_cache] entries asks for another size"
                                   : inherited.error().what);
  }
  auto made = shm::SessionIdCacheMaster::Create(wanted.entries, wanted.lifetime_s);
  if (!made) return std::unexpected(made.error());
  session_ids_.emplace(std::move(*made));
  return {};
}

Status MasterProcess::MakeWorkers(const os::Identity& identity,
                                  const shm::TicketKeyList& ticket_keys) {
  identity_ = identity;
  if (Status made = MakeTickets(ticket_keys); !made) return made;
  const std::vector<int> cpus = os::AllowedCpus();
  const uint32_t workers = WorkerCount(config_->process, cpus);
  auto addresses = shm::AddressTableMaster::Create(config_->limits.addresses, workers);
  if (!addresses) return std::unexpected(addresses.error());
  addresses_ = std::move(*addresses);
  if (Status made = MakeSessionIds(); !made) return made;
  auto rollout = Rollout::Create();
  if (!rollout) return std::unexpected(rollout.error());
  rollout_ = std::move(*rollout);

  SupervisorOptions options;
  options.workers = workers;
  if (config_->process.pin) options.cpus = cpus;
  options.start = StartTemplate(*config_);
  options.control_page_fd = rollout_->control_page_fd();
  options.ticket_keys_fd = tickets_->fd();
  options.addresses_fd = addresses_->fd();
  options.bury = [this](uint32_t worker) { addresses_->Forget(worker); };
  options.session_ids_fd = session_ids_->fd();
  options.start_timeout_ms = config_->prepare_timeout_ms;
  options.spawn = options_.spawn;
  options.log = [this] { return log_->ForWorkers(); };
  auto supervisor = Supervisor::Create(std::move(options), *rollout_);
  if (!supervisor) return std::unexpected(supervisor.error());
  supervisor_ = std::move(*supervisor);
  rollout_->set_supervisor(supervisor_.get());

  auto reloader = Reloader::Create(
      config_, supervisor_->size(), *rollout_, *log_, options_.load,
      [this](const ConfigPtr& config, const LoadedGeneration& loaded,
             std::optional<LogTarget> target) { Adopt(config, loaded, std::move(target)); });
  if (!reloader) return std::unexpected(reloader.error());
  reloader_ = std::move(*reloader);

  CertificateWatch::Options watching;
  watching.busy = [this] { return reloader_->busy() || upgrade_ != nullptr; };
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
  rollout_->Begin(std::move(first_), config_->prepare_timeout_ms, now_ms,
                  [this](const Status& status) { Started(status); });
  if (Status started = supervisor_->StartAll(now_ms); !started) {
    rollout_->Cancel(started.error().ToString());
  }
  do {
    Turn();
  } while (stage_ < Stage::kRetired || supervisor_->running() > 0 || !elders_.empty());
  if (control_ != nullptr) control_->Flush(os::MonotonicMs() + 1'000);
  LogLine(refused_ ? LogLevel::kNotice : LogLevel::kError, "stopped");
  return refused_;
}

void MasterProcess::Started(const Status& status) {
  if (stage_ != Stage::kStarting) return;  // told to end meanwhile
  if (!status) {
    refused_ = status;
    options_.inheritance.Refuse({status.error()});
    BeginQuit("a failed start", os::MonotonicMs());
    return;
  }
  stage_ = Stage::kServing;
  LogServing();
  TellServing();
  options_.inheritance.predecessor.Send(HandoverType::kServing,
                                        shares_session_ids_ ? kSharesSessionIds : 0);
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

// Until it has taken over, the manager believes the predecessor alone.
void MasterProcess::Notify(std::string_view state) const {
  if (!succeeding_) manager_.Notify(state);
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
  // Our pid: after an upgrade the manager may know another.
  Notify(fmt::format("READY=1\nMAINPID={}\nSTATUS={}", ::getpid(), status));
}

void MasterProcess::TellEnding(std::string_view what, uint64_t within_ms) const {
  Notify(fmt::format("STOPPING=1\nSTATUS={}\nEXTEND_TIMEOUT_USEC={}", what, within_ms * 1'000));
}

std::optional<uint64_t> MasterProcess::NextDeadlineMs() const {
  std::optional<uint64_t> next = RotationDueMs();
  const auto consider = [&](const std::optional<uint64_t>& when) {
    if (when) next = std::min(next.value_or(*when), *when);
  };
  consider(stage_ends_ms_);
  consider(watchdog_due_ms_);
  if (upgrade_ != nullptr) consider(upgrade_->NextDeadlineMs());
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
  AddSuccessionFds(fds);
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
  RunSuccession(now_ms);
  RunDeadlines(now_ms);
}

// Not during an upgrade: the new process has the keys of its beginning, and tickets under later
// ones would be worth nothing to it.
std::optional<uint64_t> MasterProcess::RotationDueMs() const {
  if (!rotates_tickets() || upgrade_ != nullptr || stage_ >= Stage::kRetired) return std::nullopt;
  return tickets_rotated_ms_ + config_->tickets.rotate_s * 1000;
}

// By the timer, by order, or because files with keys are gone; as long as those are there they are
// rotated by whoever writes them.
void MasterProcess::NoteRotation(const Status& rotated, std::string_view by, uint64_t now_ms) {
  tickets_rotated_ms_ = now_ms;
  if (rotated) {
    LogLine(LogLevel::kInfo, "ticket keys rotated").Field("by", by);
  } else {
    LogLine(LogLevel::kError, "ticket keys not rotated").Field("reason", rotated.error().what);
  }
}

// After a reload. Keys of our own stay as they are; when files take their place, or give it back,
// the others' are gone at once: who has a ticket shakes hands in full. Should no key be had, those
// of the files stay, and the timer tries again.
void MasterProcess::UseTicketKeys(const config::Tickets& before, const shm::TicketKeyList& files) {
  if (!files.empty()) {
    tickets_->Use(files.get());
  } else if (!before.files.empty()) {
    NoteRotation(tickets_->Renew(), "a reload without [tickets] files", os::MonotonicMs());
  }
}

}  // namespace postern::master
