// Reloader: one reload after another, from the wish to the answer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "master/loader.h"
#include "master/master_log.h"
#include "master/rollout.h"
#include "postern/admin/control.h"
#include "postern/config/config.h"

namespace postern::master {

// What became of the last reload.
struct ReloadResult {
  bool ok = false;
  int64_t at_s = 0;  // wall clock
  uint64_t took_ms = 0;
  std::string text;  // as `postern reload` prints it
  std::string by;    // who asked: "SIGHUP", "watch", ...
};

// What became of a reload of the files alone.
struct FilesReload {
  // What is not served as it is now, with the reasons: single files, or everything when the reload
  // was refused. Empty: all is served.
  std::vector<Error> waiting;
  // LoadedGeneration::watched_state, when anything was loaded.
  std::optional<uint64_t> state;
};

class Reloader {
 public:
  using Answer = std::function<void(const admin::Reply&)>;
  using FilesAnswer = std::function<void(const FilesReload&)>;
  // Loads a generation; runs on the loader thread, so it must own what it uses.
  using Load = std::function<LoadOutcome(const LoadRequest&)>;
  // Called after every worker has switched, with what now holds and, when the destination changed,
  // the open log. Nothing of it may need much memory: it is too late to refuse.
  using Adopt =
      std::function<void(const ConfigPtr&, const LoadedGeneration&, std::optional<LogTarget>)>;

  // `running` is the configuration of generation 1. `rollout` and `log` must outlive the reloader.
  static Result<std::unique_ptr<Reloader>> Create(ConfigPtr running, uint32_t workers,
                                                  Rollout& rollout, const MasterLog& log, Load load,
                                                  Adopt adopt);

  // Request begins a reload; while one runs, one more is remembered, and everybody who asks
  // meanwhile gets the answer of that one (the running one may have read the files too early).
  // `answer` may be empty (SIGHUP).
  void Request(Answer answer, uint64_t now_ms, std::string by = {});
  // RequestFiles reloads what the configuration in force names, and not the configuration: what an
  // administrator has written there waits for his own reload. When clients could not tell the
  // difference nothing is switched, and nothing logged. Only when not busy.
  void RequestFiles(FilesAnswer answer, uint64_t now_ms);
  // Stop answers everybody that nothing will come of it.
  void Stop(const std::string& reason);

  int fd() const { return loader_.fd(); }  // readable: call Run
  void Run(uint64_t now_ms);

  bool busy() const { return running_reload_; }
  // A thread is still out; the process must end without waiting for it (_exit).
  bool loading() const { return loader_.busy(); }
  const config::Config& config() const { return *config_; }
  const std::optional<ReloadResult>& last() const { return last_; }

 private:
  Reloader(ConfigPtr running, uint32_t workers, Rollout& rollout, const MasterLog& log,
           Loader loader, Load load, Adopt adopt);
  void StartLoad(uint64_t now_ms, ConfigPtr keep = nullptr);
  void Loaded(LoadedGeneration loaded, uint64_t now_ms);
  void Offer(LoadedGeneration loaded, uint64_t now_ms);
  void RolledOut(const Status& status);
  void Refuse(const std::vector<Error>& faults);
  void Conclude(bool ok, std::string text, const FilesReload& files);
  void Finish(const admin::Reply& reply, const FilesReload& files);
  void AnswerAll(std::vector<Answer>& waiters, const admin::Reply& reply);

  ConfigPtr config_;
  uint32_t workers_;
  Rollout& rollout_;
  const MasterLog& log_;
  Loader loader_;
  Load load_;
  Adopt adopt_;

  bool running_reload_ = false;
  bool again_ = false;
  bool stopped_ = false;
  uint64_t next_number_ = 2;
  uint64_t started_ms_ = 0;
  std::string by_;
  std::string next_by_;
  FilesAnswer files_answer_;  // set: the running reload is one of files
  std::vector<Answer> waiters_;
  std::vector<Answer> next_waiters_;
  std::optional<LoadedGeneration> pending_;  // with the workers; its configuration is ...
  ConfigPtr pending_config_;                 // ... here
  std::optional<LogTarget> pending_log_;
  std::optional<ReloadResult> last_;
};

// RestartNeeded compares what a running master cannot change, and says what it goes on using.
std::vector<Error> RestartNeeded(const config::Config& running, const config::Config& wanted);

// LogWarnings writes each warning as a log line.
void LogWarnings(const std::vector<Error>& warnings);

}  // namespace postern::master
