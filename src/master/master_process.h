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
#include "master/elders.h"
#include "master/handover_channel.h"
#include "master/inheritance.h"
#include "master/loader.h"
#include "master/master_log.h"
#include "master/reloader.h"
#include "master/rollout.h"
#include "master/supervisor.h"
#include "master/upgrade.h"
#include "postern/admin/control.h"
#include "postern/base/result.h"
#include "postern/os/process.h"
#include "postern/os/service_manager.h"
#include "postern/os/unique_fd.h"
#include "postern/shm/address_table.h"
#include "postern/shm/session_id_cache.h"
#include "postern/shm/ticket_keys.h"

namespace postern::master {

struct MasterOptions {
  std::string config_path;
  // How generations are loaded, and how worker processes are started: the seams for tests.
  Reloader::Load load;
  std::function<Result<pid_t>(uint32_t id, int channel)> spawn;
  // Starts the process that is to take our place, with `channel` as its descriptor kHandoverFd and
  // `variables` in its environment; empty: it cannot be done.
  std::function<Result<pid_t>(int channel, const std::vector<std::string>& variables)>
      spawn_successor;
  // What was there before.
  Inheritance inheritance;
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
  // The stages of the end: another process serves, and connections may take as long as they last;
  // they may finish; workers are told to end at once; they are killed.
  enum class Stage : uint8_t { kStarting, kServing, kRetired, kDraining, kQuitting, kKilling };

  MasterProcess(MasterOptions options, LoadedGeneration& first);
  bool Make(LoadedGeneration& first, std::vector<Error>& faults);
  Status MakeFiles();
  Status MakeControl();
  Status MakeWorkers(const os::Identity& identity, const shm::TicketKeyList& ticket_keys);
  Status MakeTickets(const shm::TicketKeyList& ticket_keys);
  Status MakeSessionIds();
  worker::Start StartTemplate(const config::Config& config) const;
  void Started(const Status& status);
  void LogServing() const;
  // What the service manager is told.
  void Notify(std::string_view state) const;
  void TellServing();
  void TellEnding(std::string_view what, uint64_t within_ms) const;

  // The loop.
  void Turn();
  std::optional<uint64_t> NextDeadlineMs() const;
  void RunDeadlines(uint64_t now_ms);
  bool rotates_tickets() const { return config_->tickets.files.empty(); }
  // Nothing while keys are not to be rotated by the timer.
  std::optional<uint64_t> RotationDueMs() const;
  void NoteRotation(const Status& rotated, std::string_view by, uint64_t now_ms);

  // Orders, from signals and from the control socket. `by` is for the log.
  void OnSignal(int signal, uint64_t now_ms);
  void OnRequest(const admin::Request& request);
  void Reload(std::string_view by, Reloader::Answer answer, uint64_t now_ms);
  admin::Reply OrderRotation(std::string_view by, uint64_t now_ms);
  Status ReopenLog();
  void Adopt(const ConfigPtr& adopted, const LoadedGeneration& loaded,
             std::optional<LogTarget> target);
  void UseTicketKeys(const config::Tickets& before, const shm::TicketKeyList& files);
  void BeginDrain(std::string_view by, uint64_t timeout_ms, uint64_t now_ms);
  void BeginQuit(std::string_view by, uint64_t now_ms);
  void StopServing(const std::string& why);

  // Upgrades (succession.cc). Of the master that is to be replaced:
  void RequestUpgrade(std::string_view by, Reloader::Answer answer, uint64_t now_ms);
  void BeginUpgrade(uint64_t now_ms);
  void SendInheritance(HandoverChannel& channel) const;
  void RunUpgrade(uint64_t now_ms);
  void ConcludeUpgrade(const admin::Reply& reply);
  void UpgradeFailed(const std::string& reason);
  void Retire();
  void ObeySuccessor(uint64_t now_ms);
  void TellHolding(uint64_t now_ms);
  // Of the one that takes its place:
  void HearPredecessor();
  void TakeOver();
  void TakeOverFiles();
  // Of both.
  void AddSuccessionFds(std::vector<pollfd>& fds) const;
  void RunSuccession(uint64_t now_ms);
  uint64_t Connections() const;

  std::string Report(bool json) const;
  std::string_view StageName() const;

  MasterOptions options_;
  ConfigPtr config_;
  os::Identity identity_;
  bool empty_root_ = false;  // the workers'; for as long as the master lives
  uint64_t started_ms_;
  Stage stage_ = Stage::kStarting;
  std::optional<uint64_t> stage_ends_ms_;
  uint64_t tickets_rotated_ms_;
  os::ServiceManager manager_ = os::ServiceManager::FromEnvironment();
  std::optional<uint64_t> watchdog_due_ms_;  // when the manager is told that we live
  bool reload_told_ = false;                 // the manager waits for a reload's end
  Status refused_;                           // why the start was
  // Asked for before the first generation served, or during an upgrade.
  std::vector<Reloader::Answer> early_reloads_;

  std::unique_ptr<Upgrade> upgrade_;  // under way
  bool upgrade_wanted_ = false;       // begins when no reload runs any more
  std::string upgrade_by_;
  Reloader::Answer upgrade_answer_;
  HandoverChannel successor_;  // once retired
  pid_t successor_pid_ = 0;    // our child, until it is reaped
  uint64_t holding_told_ = 0;  // connections, and when
  uint64_t holding_told_ms_ = 0;
  // The predecessor has not retired yet: its files are not ours, and it speaks with the manager.
  bool succeeding_ = false;
  Elders elders_;

  // In the order in which they are made; they go in the reverse one.
  os::PidFile pid_file_;
  std::unique_ptr<MasterLog> log_;
  os::UniqueFd signals_;
  std::unique_ptr<admin::ControlServer> control_;
  std::optional<shm::TicketKeyMaster> tickets_;
  std::optional<shm::AddressTableMaster> addresses_;
  std::optional<shm::SessionIdCacheMaster> session_ids_;
  bool shares_session_ids_ = false;  // with the predecessor
  std::unique_ptr<Rollout> rollout_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<Reloader> reloader_;
  std::unique_ptr<CertificateWatch> watch_;
  Proposal first_;
  uint64_t first_watched_state_;  // LoadedGeneration::watched_state
};

}  // namespace postern::master
