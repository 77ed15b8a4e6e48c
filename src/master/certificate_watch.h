// CertificateWatch: sees that certificate files change, and has them reloaded when they have come
// to rest (certificates.watch).
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "master/background.h"
#include "master/reloader.h"
#include "master/watch_plan.h"
#include "postern/os/file_events.h"

namespace postern::master {

// A change counts when nothing more has happened for so long, or at the latest after the second.
inline constexpr uint64_t kWatchSettleMs = 500;
inline constexpr uint64_t kWatchSettleAtMostMs = 5'000;
// Files that wait are tried again after this, then twice as long each time.
inline constexpr uint64_t kWatchRetryFirstMs = 1'000;
inline constexpr uint64_t kWatchRetryAtMostMs = 60'000;
// All files are looked at so often where the kernel tells of changes (it does not tell of what
// other machines do to a network file system), and where it does not.
inline constexpr uint64_t kWatchLookMs = 300'000;
inline constexpr uint64_t kWatchPollMs = 5'000;
// Looks take at most one part in so many of the time: 100,000 files are not looked at all the time.
inline constexpr uint64_t kWatchLookShare = 50;

// Of files that wait, so many are named in the log.
inline constexpr size_t kWatchShown = 5;

class CertificateWatch {
 public:
  // The seams for tests.
  struct Options {
    std::function<Result<std::unique_ptr<os::FileEvents>>()> events = os::MakeFileEvents;
    std::function<WatchPlan(const config::Config&)> plan = MakeWatchPlan;
    // Whether a reload runs, so that none may be begun.
    std::function<bool()> busy;
    std::function<void(Reloader::FilesAnswer, uint64_t now_ms)> reload;
  };
  static Result<std::unique_ptr<CertificateWatch>> Create(Options options);

  // Follow watches what `config` names from now on, or nothing when it does not ask for it. `state`
  // is that of the files before they were read for what serves.
  void Follow(ConfigPtr config, uint64_t state);
  // Stop ends all watching.
  void Stop();

  void AddPollFds(std::vector<pollfd>& fds) const;
  void Run(uint64_t now_ms);
  std::optional<uint64_t> NextDeadlineMs() const;
  // A thread is still out; the process must end without waiting for it (_exit).
  bool looking() const { return looker_.busy(); }

  // "off", "inotify", "polling".
  std::string_view Mode() const;
  // What is not served as it is, as of the last attempt.
  const std::vector<Error>& waiting() const { return waiting_; }

 private:
  struct Watched {
    int watch = -1;
    WatchedDirectory directory;
  };
  struct Look {
    uint64_t epoch = 0;
    std::optional<WatchPlan> plan;  // nothing when there was no memory for it
  };

  CertificateWatch(Options options, Background<Look> looker)
      : options_(std::move(options)), looker_(std::move(looker)) {}

  void TakeEvents(uint64_t now_ms);
  void Changed(std::string path, uint64_t now_ms);
  void Lost(int watch, uint64_t now_ms);
  void StartLook(uint64_t now_ms);
  void Looked(Look look, uint64_t now_ms);
  void Apply(const WatchPlan& plan);
  void Forget(const std::string& path);
  bool Add(const std::string& path, const WatchedDirectory& directory);
  void SetPolling(std::optional<Error> reason);
  void Reload(uint64_t now_ms);
  void Reloaded(const FilesReload& outcome, uint64_t now_ms);
  void LogWaiting() const;

  Options options_;
  Background<Look> looker_;
  ConfigPtr config_;
  bool on_ = false;
  bool reloading_ = false;
  std::optional<FilesReload> outcome_;    // of the reload that has ended
  uint64_t epoch_ = 0;                    // counts calls of Follow: a look of before is of no use
  std::optional<uint64_t> loaded_state_;  // nothing: not known

  std::unique_ptr<os::FileEvents> events_;
  std::map<std::string, Watched> watched_;      // by path
  std::map<int, std::set<std::string>> paths_;  // by watch
  std::optional<Error> cannot_watch_;           // of the Apply that is under way
  bool added_ = false;                          // by the last Apply
  bool polling_ = false;

  std::optional<uint64_t> changed_ms_;  // the first change that is not reloaded yet
  std::optional<uint64_t> settles_ms_;
  std::string changed_path_;
  std::optional<uint64_t> look_ms_;  // the next look
  std::optional<uint64_t> retry_ms_;
  uint64_t retry_after_ms_ = kWatchRetryFirstMs;
  std::vector<Error> waiting_;
  std::string waiting_text_;  // as it was logged
};

}  // namespace postern::master
