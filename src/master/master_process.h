// MasterProcess: the master once its configuration is loaded: everything it owns, its loop, its
// signals and its end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "master/certificate_watch.h"
#include "master/loader.h"
#include "master/master_log.h"
#include "master/reloader.h"
#include "master/rollout.h"
#include "master/supervisor.h"
#include "postern/admin/control.h"
#include "postern/base/result.h"
#include "postern/os/process.h"
#include "postern/os/service_manager.h"
#include "postern/os/unique_fd.h"
#include "postern/shm/address_table.h"
#include "postern/shm/ticket_keys.h"

namespace postern::master {

struct MasterOptions {
  std::string config_path;
  // How generations are loaded, and how worker processes are started: the seams for tests.
  Reloader::Load load;
  std::function<Result<pid_t>(uint32_t id, int channel)> spawn;
};

class MasterProcess {
 public:
  // Makes everything that a start can fail on, in `faults` when it does. Nothing serves yet.
  static std::unique_ptr<MasterProcess> Create(MasterOptions options, LoadedGeneration first,
                                               std::vector<Error>& faults);

  // Run starts the workers, serves, and returns when everything has ended: success after an orderly
  // end, else why the start was refused.
  Status Run();

  // Whether a thread is still out, so that the process must end by _exit.
  bool loading() const { return reloader_->loading() || watch_->looking(); }

 private:
  // The stages of the end: connections may finish; workers are told to end at once; they are
  // killed.
  enum class Stage : uint8_t { kStarting, kServing, kDraining, kQuitting, kKilling };

  MasterProcess(MasterOptions options, LoadedGeneration& first);
  Status MakeFiles();
  Status MakeWorkers(const os::Identity& identity, const shm::TicketKeyList& ticket_keys);
  worker::Start StartTemplate(const config::Config& config) const;
  void Started(const Status& status);
  void LogServing() const;
  // What the service manager is told.
  void TellServing();
  void TellEnding(std::string_view what, uint64_t within_ms) const;

  // The loop.
  void Turn();
  std::optional<uint64_t> NextDeadlineMs() const;
  void RunDeadlines(uint64_t now_ms);
  bool rotates_tickets() const { return config_.tickets.files.empty(); }
  Status RotateTickets(std::string_view by, uint64_t now_ms);

  // Orders, from signals and from the control socket. `by` is for the log.
  void OnSignal(int signal, uint64_t now_ms);
  void OnRequest(const admin::Request& request);
  void Reload(std::string_view by, Reloader::Answer answer, uint64_t now_ms);
  admin::Reply OrderRotation(std::string_view by, uint64_t now_ms);
  Status ReopenLog();
  void Adopt(const LoadedGeneration& loaded, std::optional<LogTarget> target);
  void UseTicketKeys(const config::Tickets& before, const shm::TicketKeyList& files);
  void BeginDrain(std::string_view by, uint64_t now_ms);
  void BeginQuit(std::string_view by, uint64_t now_ms);
  void StopServing();
  std::string Report(bool json) const;
  std::string_view StageName() const;

  MasterOptions options_;
  config::Config config_;
  os::Identity identity_;
  bool empty_root_ = false;  // the workers'; for as long as the master lives
  uint64_t started_ms_;
  Stage stage_ = Stage::kStarting;
  std::optional<uint64_t> stage_ends_ms_;
  uint64_t tickets_rotated_ms_;
  const os::ServiceManager manager_ = os::ServiceManager::FromEnvironment();
  std::optional<uint64_t> watchdog_due_ms_;      // when the manager is told that we live
  bool reload_told_ = false;                     // the manager waits for a reload's end
  Status refused_;                               // why the start was
  std::vector<Reloader::Answer> early_reloads_;  // asked for before the first generation served

  // In the order in which they are made; they go in the reverse one.
  os::PidFile pid_file_;
  std::unique_ptr<MasterLog> log_;
  os::UniqueFd signals_;
  std::unique_ptr<admin::ControlServer> control_;
  std::optional<shm::TicketKeyMaster> tickets_;
  std::optional<shm::AddressTableMaster> addresses_;
  std::unique_ptr<Rollout> rollout_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<Reloader> reloader_;
  std::unique_ptr<CertificateWatch> watch_;
  Proposal first_;
  uint64_t first_watched_state_;  // LoadedGeneration::watched_state
};

}  // namespace postern::master
