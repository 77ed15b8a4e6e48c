// LearnedKeywords: the KeywordCache that knows what sessions have seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "postern/session/keyword_cache.h"

namespace postern::session {

// Every session that hears a server's answer to EHLO brings it here. Nothing is asked for (that is
// ProbedKeywords' part). It is kept across reloads, by the back end's name and
// protocol.
class LearnedKeywords final : public KeywordCache {
 public:
  // KeyOf names the back end of a listener with its protocol: a back end may serve listeners of
  // both, at different ports of the same servers.
  static std::string KeyOf(const generation::Settings& settings, uint32_t listener);

  static constexpr size_t kMostBackends = 1024;

  const mail::EhloKeywords* Find(const generation::SettingsPtr& settings,
                                 uint32_t listener) override;
  // Known is Find by KeyOf.
  const mail::EhloKeywords* Known(std::string_view key) const;
  bool Want(const generation::SettingsPtr&, uint32_t, KeywordWaiter&) override { return false; }
  void Learn(const generation::SettingsPtr& settings, uint32_t listener,
             const mail::EhloKeywords& keywords) override;

 private:
  std::map<std::string, mail::EhloKeywords, std::less<>> known_;
};

}  // namespace postern::session
