// A reload in order: load (on the loader thread), open what must be opened (log, sockets), let the
// workers prepare and switch (rollout.cc), adopt the rest. Everything that can fail comes before
// the first worker switches, so that a refused reload changes nothing.
#include "master/reloader.h"

#include <fmt/format.h>

#include <new>
#include <utility>

#include "postern/base/check.h"
#include "postern/base/log.h"
#include "postern/os/clock.h"

namespace postern::master {
namespace {

std::string Lines(const std::vector<Error>& errors, std::string_view prefix) {
  std::string text;
  for (const Error& error : errors) text += fmt::format("{}{}\n", prefix, error.ToString());
  return text;
}

template <typename T>
void NoteChange(std::vector<Error>& notes, const config::Process& wanted, std::string_view key,
                const T& before, const T& now) {
  if (before == now) return;
  notes.push_back({fmt::format("[process] {} was changed; the running Postern keeps {}", key,
                               before == T() ? "its default" : fmt::format("\"{}\"", before)),
                   "restart Postern for it to take effect", wanted.where});
}

}  // namespace

std::vector<Error> RestartNeeded(const config::Config& running, const config::Config& wanted) {
  std::vector<Error> notes;
  const config::Process& a = running.process;
  const config::Process& b = wanted.process;
  NoteChange(notes, b, "workers", a.workers, b.workers);
  if (a.pin != b.pin) {
    notes.push_back({"[process] pin was changed; running workers stay as they are",
                     "restart Postern for it to take effect", b.where});
  }
  NoteChange(notes, b, "user", a.user, b.user);
  NoteChange(notes, b, "group", a.group, b.group);
  if (a.sandbox != b.sandbox) {
    notes.push_back({fmt::format("[process] sandbox was changed; the running Postern keeps \"{}\"",
                                 config::ToString(a.sandbox)),
                     "restart Postern for it to take effect", b.where});
  }
  NoteChange(notes, b, "pid_file", a.pid_file, b.pid_file);
  NoteChange(notes, b, "control_socket", a.control_socket, b.control_socket);
  if (running.limits.buffers != wanted.limits.buffers) {
    notes.push_back({"[limits] buffers was changed; only workers that start from now on use it",
                     "restart Postern for all to use it", b.where});
  }
  if (running.limits.addresses != wanted.limits.addresses) {
    notes.push_back({"[limits] addresses was changed; the table keeps its size",
                     "restart Postern for it to take effect", b.where});
  }
  if (running.session_cache.entries != wanted.session_cache.entries) {
    notes.push_back({"[session_cache] entries was changed; the running Postern keeps its cache",
                     "restart Postern for it to take effect", wanted.session_cache.where});
  }
  return notes;
}

void LogWarnings(const std::vector<Error>& warnings) {
  for (const Error& warning : warnings) {
    LogLine(LogLevel::kWarning, "configuration warning").Field("reason", warning.ToString());
  }
}

Result<std::unique_ptr<Reloader>> Reloader::Create(ConfigPtr running, uint32_t workers,
                                                   Rollout& rollout, const MasterLog& log,
                                                   Load load, Adopt adopt) {
  Result<Loader> loader = Loader::Create();
  if (!loader) return std::unexpected(loader.error());
  return std::unique_ptr<Reloader>(new Reloader(std::move(running), workers, rollout, log,
                                                std::move(*loader), std::move(load),
                                                std::move(adopt)));
}

Reloader::Reloader(ConfigPtr running, uint32_t workers, Rollout& rollout, const MasterLog& log,
                   Loader loader, Load load, Adopt adopt)
    : config_(std::move(running)),
      workers_(workers),
      rollout_(rollout),
      log_(log),
      loader_(std::move(loader)),
      load_(std::move(load)),
      adopt_(std::move(adopt)) {}

void Reloader::Request(Answer answer, uint64_t now_ms, std::string by) {
  if (stopped_) {
    if (answer) answer({false, "Postern is stopping"});
    return;
  }
  if (running_reload_) {
    again_ = true;
    next_by_ = std::move(by);
    if (answer) next_waiters_.push_back(std::move(answer));
    return;
  }
  if (answer) waiters_.push_back(std::move(answer));
  by_ = std::move(by);
  StartLoad(now_ms);
}

void Reloader::RequestFiles(FilesAnswer answer, uint64_t now_ms) {
  POSTERN_CHECK(!running_reload_ && !stopped_);
  files_answer_ = std::move(answer);
  by_ = "watch";
  StartLoad(now_ms, config_);
}

void Reloader::StartLoad(uint64_t now_ms, ConfigPtr keep) {
  running_reload_ = true;
  started_ms_ = now_ms;
  const Status started = loader_.Start(
      [load = load_, request = LoadRequest{rollout_.current().generation, next_number_++,
                                           std::move(keep)}] { return load(request); },
      [] { return LoadOutcome(std::unexpected(std::vector{WithoutMemory()})); });
  if (!started) Refuse({started.error()});
}

void Reloader::Stop(const std::string& reason) {
  stopped_ = true;
  AnswerAll(waiters_, {false, reason});
  AnswerAll(next_waiters_, {false, reason});
}

void Reloader::Run(uint64_t now_ms) {
  std::optional<LoadOutcome> outcome = loader_.Take();
  if (!outcome || stopped_) return;
  if (outcome->has_value()) {
    Loaded(std::move(**outcome), now_ms);
  } else if (files_answer_) {
    Finish({}, {std::move(outcome->error()), std::nullopt});
  } else {
    Refuse(outcome->error());
  }
}

// What there was memory for on the loader's thread may leave none for the rest.
void Reloader::Loaded(LoadedGeneration loaded, uint64_t now_ms) {
  try {
    Offer(std::move(loaded), now_ms);
  } catch (const std::bad_alloc&) {
    const Error fault = WithoutMemory();
    // Refused by way of RolledOut, when the workers know of it already.
    rollout_.busy() ? rollout_.Cancel(fault.ToString()) : Refuse({fault});
  }
}

void Reloader::Offer(LoadedGeneration loaded, uint64_t now_ms) {
  if (files_answer_ &&
      generation::ServesTheSame(*rollout_.current().generation, *loaded.generation)) {
    Finish({}, {loaded.generation->waiting, loaded.watched_state});
    return;
  }
  std::vector<Error> notes = RestartNeeded(*config_, loaded.config);
  loaded.warnings.insert(loaded.warnings.end(), notes.begin(), notes.end());
  loaded.config.process = config_->process;
  if (!log_.Same(loaded.config.log)) {
    Result<LogTarget> target = OpenLog(loaded.config.log);
    if (!target) return Refuse({target.error()});
    pending_log_ = std::move(*target);
  }
  auto listeners =
      ListenerSet::Make(loaded.generation->sockets, workers_, rollout_.current().listeners);
  if (!listeners) return Refuse(listeners.error());
  Proposal proposal{loaded.generation, std::move(*listeners)};
  const uint64_t timeout_ms = loaded.config.prepare_timeout_ms;
  pending_config_ = std::make_shared<const config::Config>(std::move(loaded.config));
  pending_ = std::move(loaded);
  rollout_.Begin(std::move(proposal), timeout_ms, now_ms,
                 [this](const Status& status) { RolledOut(status); });
}

void Reloader::RolledOut(const Status& status) {
  if (!status) return Refuse({status.error()});
  const generation::Generation& generation = *pending_->generation;
  std::string text =
      fmt::format("generation {} serves: {} certificate{}, {} read again\n", generation.number,
                  generation.certificates, generation.certificates == 1 ? "" : "s",
                  generation.certificates_read);
  text += Lines(pending_->warnings, "warning: ");
  text += Lines(generation.waiting, "waiting: ");
  config_ = std::move(pending_config_);
  adopt_(config_, *pending_, std::exchange(pending_log_, std::nullopt));
  LogWarnings(pending_->warnings);
  {
    LogLine line(LogLevel::kNotice, "reloaded");
    line.Field("generation", generation.number).Field("certificates", generation.certificates);
    line.Field("certificates_read", generation.certificates_read);
    line.Field("by", by_).FieldMs("took", os::MonotonicMs() - started_ms_);
  }
  Conclude(true, std::move(text), {generation.waiting, pending_->watched_state});
}

void Reloader::Refuse(const std::vector<Error>& faults) {
  for (const Error& fault : faults) {
    LogLine(LogLevel::kError, "reload refused").Field("by", by_).Field("reason", fault.ToString());
  }
  Conclude(false, Lines(faults, "") + "nothing has changed: what served goes on serving\n",
           {faults, std::nullopt});
}

void Reloader::Conclude(bool ok, std::string text, const FilesReload& files) {
  const uint64_t took_ms = os::MonotonicMs() - started_ms_;
  last_ = ReloadResult{ok, os::WallSeconds(), took_ms, std::move(text), by_};
  Finish({ok, last_->text}, files);
}

void Reloader::Finish(const admin::Reply& reply, const FilesReload& files) {
  pending_.reset();
  pending_config_.reset();
  pending_log_.reset();
  running_reload_ = false;
  AnswerAll(waiters_, reply);
  if (files_answer_) std::exchange(files_answer_, nullptr)(files);
  if (!std::exchange(again_, false) || stopped_) return;
  waiters_ = std::exchange(next_waiters_, {});
  by_ = std::exchange(next_by_, {});
  StartLoad(os::MonotonicMs());
}

void Reloader::AnswerAll(std::vector<Answer>& waiters, const admin::Reply& reply) {
  for (const Answer& answer : std::exchange(waiters, {})) answer(reply);
}

}  // namespace postern::master
