// LearnedKeywords: the KeywordCache of a worker that knows what its sessions have seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "postern/session/keyword_cache.h"

namespace postern::session {

// Every session that hears a server's answer to EHLO brings it here, so what is known is as old as
// the last session of that back end. Nothing is asked for: before the first one nothing is known,
// and a client hears of STARTTLS alone. It is kept across reloads, by the back end's name and
// protocol.
class LearnedKeywords final : public KeywordCache {
 public:
  static constexpr size_t kMostBackends = 1024;

  const mail::EhloKeywords* Find(const generation::SettingsPtr& settings,
                                 uint32_t listener) override;
  bool Want(const generation::SettingsPtr&, uint32_t, KeywordWaiter&) override { return false; }
  void Learn(const generation::SettingsPtr& settings, uint32_t listener,
             const mail::EhloKeywords& keywords) override;

 private:
  std::map<std::string, mail::EhloKeywords, std::less<>> known_;
};

}  // namespace postern::session
