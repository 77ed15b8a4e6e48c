// Watching. The kernel's events say only that a look is due, and where; what has changed is found
// by the reload, which compares files with what it has read. So an event too many costs a few file
// look-ups, and one too few (network file systems, lost events, watches that the kernel refused) is
// made up for by looks from time to time.
//
// Whatever blocks on the file system happens in the background: a network file system that hangs
// must not keep the master from its workers.
#include "master/certificate_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "postern/base/log.h"

namespace postern::master {
namespace {

std::string TextOf(const std::vector<Error>& errors) {
  std::string text;
  for (const Error& error : errors) text += error.ToString() + '\n';
  return text;
}

Error NoMoreWatches(size_t wanted) {
  // With room for as many again.
  const size_t enough = std::max<size_t>(std::bit_ceil(wanted * 2), 65'536);
  return {
      fmt::format("the kernel's limit on watched directories is reached; {} are wanted", wanted),
      fmt::format("raise it: sysctl fs.inotify.max_user_watches={}", enough),
      {}};
}

}  // namespace

Result<std::unique_ptr<CertificateWatch>> CertificateWatch::Create(Options options) {
  auto looker = Background<Look>::Create();
  if (!looker) return std::unexpected(looker.error());
  return std::unique_ptr<CertificateWatch>(
      new CertificateWatch(std::move(options), std::move(*looker)));
}

void CertificateWatch::Follow(ConfigPtr config, uint64_t state) {
  if (!config->certificates.watch) return Stop();
  on_ = true;
  ++epoch_;
  config_ = std::move(config);
  loaded_state_ = state;
  look_ms_ = 0;  // at once: it says what to watch, and what has changed meanwhile
}

void CertificateWatch::Stop() {
  if (!std::exchange(on_, false)) return;
  ++epoch_;
  events_.reset();
  watched_.clear();
  paths_.clear();
  polling_ = false;
  changed_ms_.reset();
  settles_ms_.reset();
  look_ms_.reset();
  retry_ms_.reset();
  retry_after_ms_ = kWatchRetryFirstMs;
  waiting_.clear();
  waiting_text_.clear();
}

void CertificateWatch::AddPollFds(std::vector<pollfd>& fds) const {
  fds.push_back({looker_.fd(), POLLIN, 0});
  if (events_ != nullptr) fds.push_back({events_->fd(), POLLIN, 0});
}

void CertificateWatch::Run(uint64_t now_ms) {
  if (std::optional<Look> look = looker_.Take(); look && on_ && look->epoch == epoch_) {
    Looked(std::move(*look), now_ms);
  }
  if (const auto outcome = std::exchange(outcome_, std::nullopt)) {
    reloading_ = false;
    if (on_) Reloaded(*outcome, now_ms);
  }
  if (!on_) return;
  TakeEvents(now_ms);
  const auto due = [&](const std::optional<uint64_t>& when) { return when && now_ms >= *when; };
  if (due(look_ms_) && !looker_.busy()) StartLook(now_ms);
  if ((due(settles_ms_) || due(retry_ms_)) && !reloading_ && !options_.busy()) Reload(now_ms);
}

std::optional<uint64_t> CertificateWatch::NextDeadlineMs() const {
  std::optional<uint64_t> next;
  const auto consider = [&](const std::optional<uint64_t>& when) {
    if (when) next = std::min(next.value_or(*when), *when);
  };
  if (!on_) return next;
  // The end of what is under way wakes the master up by itself.
  if (!looker_.busy()) consider(look_ms_);
  if (!reloading_ && !options_.busy()) {
    consider(settles_ms_);
    consider(retry_ms_);
  }
  return next;
}

std::string_view CertificateWatch::Mode() const {
  if (!on_) return "off";
  return polling_ ? "polling" : "inotify";
}

// --- Events ---

void CertificateWatch::TakeEvents(uint64_t now_ms) {
  if (events_ == nullptr) return;
  for (const os::FileEvent& event : events_->Take()) {
    if (event.kind == os::FileEvent::Kind::kOverflow) {
      LogLine(LogLevel::kWarning, "file events lost")
          .Field("action", "looking at all certificate files");
      look_ms_ = now_ms;
      continue;
    }
    if (event.kind == os::FileEvent::Kind::kGone) {
      Lost(event.watch, now_ms);
      continue;
    }
    const auto paths = paths_.find(event.watch);
    if (paths == paths_.end()) continue;
    for (const std::string& path : paths->second) {
      if (!watched_.at(path).directory.Concerns(event.name)) continue;
      Changed(path + (path == "/" ? "" : "/") + event.name, now_ms);
    }
  }
}

void CertificateWatch::Changed(std::string path, uint64_t now_ms) {
  retry_after_ms_ = kWatchRetryFirstMs;
  if (!changed_ms_) {
    changed_ms_ = now_ms;
    changed_path_ = std::move(path);
  }
  settles_ms_ = std::min(now_ms + kWatchSettleMs, *changed_ms_ + kWatchSettleAtMostMs);
}

// A directory that is gone may be back already, as another one.
void CertificateWatch::Lost(int watch, uint64_t now_ms) {
  const auto paths = paths_.find(watch);
  if (paths == paths_.end()) return;
  for (const std::string& path : paths->second) {
    watched_.erase(path);
    Changed(path, now_ms);
  }
  paths_.erase(paths);
  events_->Forget(watch);
}

// --- Looks ---

void CertificateWatch::StartLook(uint64_t now_ms) {
  const Status started = looker_.Start(
      [plan = options_.plan, config = config_, epoch = epoch_] {
        return Look{epoch, plan(*config)};
      },
      [epoch = epoch_] {
        return Look{epoch, std::nullopt};
      });
  look_ms_.reset();
  if (started) return;
  LogLine(LogLevel::kError, "certificate files not looked at")
      .Field("reason", started.error().ToString());
  look_ms_ = now_ms + kWatchPollMs;
}

void CertificateWatch::Looked(Look look, uint64_t now_ms) {
  if (!look.plan) {
    LogLine(LogLevel::kError, "certificate files not looked at").Field("reason", "no memory");
    look_ms_ = now_ms + kWatchLookMs;
    return;
  }
  const WatchPlan& plan = *look.plan;
  Apply(plan);
  if (!loaded_state_) {
    loaded_state_ = plan.state;  // after a refusal, which is tried again in any case
  } else if (*loaded_state_ != plan.state) {
    loaded_state_ = plan.state;
    Changed("(found by a look)", now_ms);
  }
  const uint64_t pause_ms =
      std::max(polling_ ? kWatchPollMs : kWatchLookMs, plan.took_ms * kWatchLookShare);
  // What changed between the look and the watch of a directory is seen by one more look.
  const uint64_t next_ms = added_ ? now_ms : now_ms + pause_ms;
  look_ms_ = std::min(look_ms_.value_or(next_ms), next_ms);
}

// Apply makes the watches what `plan` says.
void CertificateWatch::Apply(const WatchPlan& plan) {
  added_ = false;
  cannot_watch_.reset();
  if (events_ == nullptr) {
    auto events = options_.events();
    if (!events) return SetPolling(events.error());
    events_ = std::move(*events);
  }
  std::vector<std::string> gone;
  for (const auto& [path, watched] : watched_) {
    const auto wanted = plan.directories.find(path);
    const WatchedDirectory& is = watched.directory;
    if (wanted == plan.directories.end() || wanted->second.device != is.device ||
        wanted->second.inode != is.inode) {
      gone.push_back(path);
    }
  }
  for (const std::string& path : gone) Forget(path);
  for (const auto& [path, directory] : plan.directories) {
    if (Add(path, directory)) continue;
    // More would be refused as well.
    cannot_watch_ = NoMoreWatches(plan.directories.size());
    break;
  }
  SetPolling(cannot_watch_);
}

void CertificateWatch::Forget(const std::string& path) {
  const int watch = watched_.at(path).watch;
  watched_.erase(path);
  std::set<std::string>& paths = paths_.at(watch);
  paths.erase(path);
  if (!paths.empty()) return;
  paths_.erase(watch);
  events_->Forget(watch);
}

// False when the kernel gives no more watches.
bool CertificateWatch::Add(const std::string& path, const WatchedDirectory& directory) {
  const auto known = watched_.find(path);
  if (known != watched_.end() && (known->second.directory.has_files || !directory.has_files)) {
    known->second.directory = directory;
    return true;
  }
  const auto watch = events_->Watch(path, directory.has_files);
  if (!watch) {
    if (watch.error() == ENOSPC || watch.error() == ENOMEM) return false;
    // One that went meanwhile shows in the directory above. Of those above nothing is read; who may
    // not look into them goes without.
    if (directory.has_files && watch.error() != ENOENT && watch.error() != ENOTDIR) {
      cannot_watch_ = FailErrno(fmt::format("cannot watch {}", path), watch.error(),
                                "let the user that starts postern read the directory")
                          .error();
    }
    return true;
  }
  watched_[path] = {*watch, directory};
  paths_[*watch].insert(path);
  added_ = true;
  return true;
}

void CertificateWatch::SetPolling(std::optional<Error> reason) {
  const bool before = std::exchange(polling_, reason.has_value());
  if (polling_ == before) return;
  if (polling_) {
    LogLine(LogLevel::kWarning, "certificate files are looked at from time to time")
        .Field("reason", reason->ToString());
  } else {
    LogLine(LogLevel::kNotice, "certificate files are watched")
        .Field("directories", static_cast<uint64_t>(watched_.size()));
  }
}

// --- Reloads ---

void CertificateWatch::Reload(uint64_t now_ms) {
  if (changed_ms_) {
    LogLine(LogLevel::kInfo, "certificate files changed").Field("first", changed_path_);
  }
  changed_ms_.reset();
  settles_ms_.reset();
  retry_ms_.reset();
  reloading_ = true;
  options_.reload([this](const FilesReload& outcome) { outcome_ = outcome; }, now_ms);
}

void CertificateWatch::Reloaded(const FilesReload& outcome, uint64_t now_ms) {
  loaded_state_ = outcome.state;
  look_ms_ = now_ms;  // links may lead elsewhere now
  waiting_ = outcome.waiting;
  if (waiting_.empty()) {
    retry_after_ms_ = kWatchRetryFirstMs;
    waiting_text_.clear();
    return;
  }
  retry_ms_ = now_ms + retry_after_ms_;
  retry_after_ms_ = std::min(retry_after_ms_ * 2, kWatchRetryAtMostMs);
  // Said once, and again when it is something else.
  std::string text = TextOf(waiting_);
  if (text == waiting_text_) return;
  waiting_text_ = std::move(text);
  LogWaiting();
}

void CertificateWatch::LogWaiting() const {
  size_t left = waiting_.size();
  for (const Error& error : waiting_) {
    if (waiting_.size() - left == kWatchShown) break;
    --left;
    LogLine(LogLevel::kWarning, "certificate files wait")
        .Field("reason", error.ToString())
        .Field("action", "what served goes on serving; they are tried again");
  }
  if (left == 0) return;
  LogLine(LogLevel::kWarning, "certificate files wait")
      .Field("reason", fmt::format("and so do {} more", left));
}

}  // namespace postern::master
