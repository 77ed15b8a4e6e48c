// Each worker asks for itself: what one of them hears is worth a connection of some 300 octets in
// five minutes, less than telling it to the others through memory that all can write to would cost.
//
// Nothing runs by a clock of its own: an idle Postern leaves its servers alone, and who asks for
// keywords that have become old gets those and brings the next probe about.
#include "postern/session/probed_keywords.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "postern/base/check.h"
#include "postern/base/log.h"

namespace postern::session {
namespace {

bool NeedsKeywords(const generation::ListenerSettings& listener) {
  const bool dialog =
      listener.tls == config::TlsMode::kStartTls || listener.tls == config::TlsMode::kAuto;
  const bool smtp = listener.service == config::Service::kSmtp ||
                    listener.service == config::Service::kSubmission ||
                    listener.service == config::Service::kLmtp;
  return dialog && smtp;
}

}  // namespace

struct ProbedKeywords::Entry final : KeywordProbeOwner {
  Entry(ProbedKeywords& owner, std::string name)
      : of(owner), key(std::move(name)), patience(this, [](void* self) {
          Entry& entry = *static_cast<Entry*>(self);
          entry.of.TellWaiters(entry);
        }) {}

  void OnProbed(KeywordProbe&, const mail::EhloKeywords* keywords) override {
    of.Heard(*this, keywords);
  }
  void OnProbeGone(KeywordProbe&) override { of.Gone(*this); }

  bool stale() const { return of.io_.now_ms >= fresh_until_ms; }
  bool resting() const { return of.io_.now_ms < next_try_ms; }

  ProbedKeywords& of;
  const std::string key;
  std::unique_ptr<KeywordProbe> probe;  // until its last completion
  uint32_t listener = 0;                // that it asks for
  generation::SettingsPtr settings;     // of the probe
  uint64_t fresh_until_ms = 0;          // what is known of it
  uint64_t next_try_ms = 0;             // not before then
  uint64_t pause_ms = kFirstPauseMs;    // after the next failure
  bool failing = false;                 // the log has it
  IntrusiveList<KeywordWaiter, &KeywordWaiter::keyword_node> waiters;
  ring::Timer patience;  // theirs
};

ProbedKeywords::ProbedKeywords(const ProbeIo& io) : io_(io) {}

ProbedKeywords::~ProbedKeywords() { POSTERN_CHECK(idle()); }

// --- Generations ---

void ProbedKeywords::Serve(generation::SettingsPtr settings,
                           std::shared_ptr<tls::ClientContexts> contexts) {
  settings_ = std::move(settings);
  contexts_ = std::move(contexts);
  due_.clear();
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    Entry& of = *entry->second;
    if (of.probe != nullptr) of.probe->Stop();
    // What was learned of a back end of that name may be of other servers.
    of.next_try_ms = of.fresh_until_ms = 0;
    of.pause_ms = kFirstPauseMs;
    const bool idle = of.probe == nullptr && of.waiters.empty();
    entry = idle ? entries_.erase(entry) : std::next(entry);
  }
  std::set<std::string> asked;
  for (uint32_t i = 0; i < settings_->listeners().size(); ++i) {
    if (Askable(settings_, i) && asked.insert(LearnedKeywords::KeyOf(*settings_, i)).second) {
      due_.push_back(i);
    }
  }
  AskNext();
}

void ProbedKeywords::Stop() {
  settings_ = nullptr;
  contexts_ = nullptr;
  due_.clear();
  for (auto& [key, entry] : entries_) {
    if (entry->probe != nullptr) entry->probe->Stop();
    TellWaiters(*entry);
  }
}

bool ProbedKeywords::Askable(const generation::SettingsPtr& settings, uint32_t listener) const {
  if (settings_ == nullptr || settings != settings_) return false;
  const generation::ListenerSettings& of = settings->listeners()[listener];
  return NeedsKeywords(of) && settings->backends()[of.backend].ehlo_probe;
}

// --- Probes ---

ProbedKeywords::Entry& ProbedKeywords::EntryOf(const std::string& key) {
  std::unique_ptr<Entry>& entry = entries_[key];
  if (entry == nullptr) entry = std::make_unique<Entry>(*this, key);
  return *entry;
}

// Ask begins a probe; false: it cannot be begun now.
bool ProbedKeywords::Ask(Entry& entry, uint32_t listener) {
  if (entry.probe != nullptr || running_ >= kMostProbes || entry.resting()) return false;
  auto probe = std::make_unique<KeywordProbe>(
      io_, entry, ProbeTarget{.settings = settings_, .listener = listener, .contexts = contexts_});
  entry.listener = listener;
  entry.settings = settings_;
  entry.probe = std::move(probe);
  if (entry.probe->Begin()) {
    ++running_;
    return true;
  }
  Failed(entry);
  entry.probe = nullptr;
  return false;
}

// AskNext begins the probes that are due, as many as there is room for. One whose predecessor is
// not gone yet is begun when it is.
void ProbedKeywords::AskNext() {
  for (size_t left = due_.size(); left > 0 && running_ < kMostProbes; --left) {
    const uint32_t listener = due_.front();
    due_.pop_front();
    Entry& entry = EntryOf(LearnedKeywords::KeyOf(*settings_, listener));
    if (entry.probe != nullptr) {
      due_.push_back(listener);
    } else {
      Ask(entry, listener);
    }
  }
}

void ProbedKeywords::Heard(Entry& entry, const mail::EhloKeywords* keywords) {
  if (keywords != nullptr) {
    LogLine(LogLevel::kDebug, "keywords learned")
        .Field("backend", entry.key)
        .Field("server", entry.probe->server())
        .Field("keywords", static_cast<uint64_t>(keywords->size()));
    Learn(entry.settings, entry.listener, *keywords);
  } else {
    Failed(entry);
  }
  TellWaiters(entry);
}

void ProbedKeywords::Failed(Entry& entry) {
  const LogLevel level = entry.failing ? LogLevel::kDebug : LogLevel::kWarning;
  LogLine line(level, "keywords not learned");
  line.Field("backend", entry.key);
  line.Field("reason", entry.probe->reason());
  line.FieldMs("next_try", entry.pause_ms);
  entry.failing = true;
  entry.next_try_ms = io_.now_ms + entry.pause_ms;
  entry.pause_ms = std::min(entry.pause_ms * 2, kLongestPauseMs);
}

void ProbedKeywords::Gone(Entry& entry) {
  entry.probe = nullptr;  // and with it the caller
  entry.settings = nullptr;
  --running_;
  AskNext();
}

// TellWaiters tells what is known now. Who hears of it may end, or ask again.
void ProbedKeywords::TellWaiters(Entry& entry) {
  io_.timers.Disarm(entry.patience);
  if (entry.waiters.empty()) return;
  IntrusiveList<KeywordWaiter, &KeywordWaiter::keyword_node> waiters;
  waiters.TakeAll(entry.waiters);
  while (KeywordWaiter* waiter = waiters.PopFront()) waiter->OnKeywords(learned_.Known(entry.key));
}

// --- KeywordCache ---

const mail::EhloKeywords* ProbedKeywords::Find(const generation::SettingsPtr& settings,
                                               uint32_t listener) {
  const mail::EhloKeywords* known = learned_.Find(settings, listener);
  if (known == nullptr || !Askable(settings, listener)) return known;
  Entry& entry = EntryOf(LearnedKeywords::KeyOf(*settings, listener));
  if (entry.stale()) Ask(entry, listener);
  return known;
}

bool ProbedKeywords::Want(const generation::SettingsPtr& settings, uint32_t listener,
                          KeywordWaiter& waiter) {
  if (!Askable(settings, listener)) return false;
  Entry& entry = EntryOf(LearnedKeywords::KeyOf(*settings, listener));
  const bool running = entry.probe != nullptr && !entry.probe->told();
  if (!running && !Ask(entry, listener)) return false;
  entry.waiters.PushBack(waiter);
  if (!entry.patience.armed()) io_.timers.Arm(entry.patience, io_.now_ms + kMostWaitMs);
  return true;
}

void ProbedKeywords::Learn(const generation::SettingsPtr& settings, uint32_t listener,
                           const mail::EhloKeywords& keywords) {
  learned_.Learn(settings, listener, keywords);
  if (!Askable(settings, listener)) return;
  Entry& entry = EntryOf(LearnedKeywords::KeyOf(*settings, listener));
  entry.fresh_until_ms = io_.now_ms + kFreshMs;
  entry.next_try_ms = 0;
  entry.pause_ms = kFirstPauseMs;
  entry.failing = false;
}

}  // namespace postern::session
