// ProbedKeywords: the KeywordCache of a worker, which asks servers for what its sessions have not
// heard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "postern/base/intrusive_list.h"
#include "postern/ring/timer_wheel.h"
#include "postern/session/keyword_cache.h"
#include "postern/session/keyword_probe.h"
#include "postern/session/learned_keywords.h"

namespace postern::session {

// When a generation begins to be served, each back end that its listeners with a dialog of SMTP or
// LMTP need is asked once, and again when what is known has become old and a client wants it. A
// back end that does not answer is asked again on demand, after a pause that doubles each time; the
// log says so once, until it answers. A client waits for a running probe for kMostWaitMs at most.
class ProbedKeywords final : public KeywordCache {
 public:
  static constexpr uint64_t kFreshMs = 5 * 60'000;
  // Long enough for a server nearby or over the sea, and nobody notices: mail servers themselves
  // take longer to look up a client's name.
  static constexpr uint64_t kMostWaitMs = 500;
  static constexpr uint64_t kFirstPauseMs = 1'000;
  static constexpr uint64_t kLongestPauseMs = 5 * 60'000;
  static constexpr size_t kMostProbes = 16;  // at once; the others follow

  explicit ProbedKeywords(const ProbeIo& io);
  ~ProbedKeywords();  // must be idle

  // Serve makes probes ask the back ends of `settings` from now on; those of the generation before
  // are broken off.
  void Serve(generation::SettingsPtr settings, std::shared_ptr<tls::ClientContexts> contexts);
  // Stop breaks off all probes, tells all who wait, and asks nobody any more.
  void Stop();
  // Nothing is in flight.
  bool idle() const { return running_ == 0; }

  const mail::EhloKeywords* Find(const generation::SettingsPtr& settings,
                                 uint32_t listener) override;
  bool Want(const generation::SettingsPtr& settings, uint32_t listener,
            KeywordWaiter& waiter) override;
  void Learn(const generation::SettingsPtr& settings, uint32_t listener,
             const mail::EhloKeywords& keywords) override;

 private:
  struct Entry;  // one back end and protocol

  bool Askable(const generation::SettingsPtr& settings, uint32_t listener) const;
  Entry& EntryOf(const std::string& key);
  bool Ask(Entry& entry, uint32_t listener);
  void AskNext();
  void Heard(Entry& entry, const mail::EhloKeywords* keywords);
  void Failed(Entry& entry);
  void Gone(Entry& entry);
  void TellWaiters(Entry& entry);

  const ProbeIo io_;
  LearnedKeywords learned_;
  generation::SettingsPtr settings_;  // null: nobody is asked
  std::shared_ptr<tls::ClientContexts> contexts_;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
  std::deque<uint32_t> due_;  // listeners whose back ends are to be asked when there is room
  size_t running_ = 0;
};

}  // namespace postern::session
