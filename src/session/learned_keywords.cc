// What a server offers hardly ever changes, and a session that learns the same again costs a
// comparison.
#include "postern/session/learned_keywords.h"

namespace postern::session {

std::string LearnedKeywords::KeyOf(const generation::Settings& settings, uint32_t listener) {
  const generation::ListenerSettings& from = settings.listeners()[listener];
  std::string key(settings.backends()[from.backend].name);
  if (from.service == config::Service::kLmtp) key += " lmtp";  // names have no spaces
  return key;
}

const mail::EhloKeywords* LearnedKeywords::Find(const generation::SettingsPtr& settings,
                                                uint32_t listener) {
  return Known(KeyOf(*settings, listener));
}

const mail::EhloKeywords* LearnedKeywords::Known(std::string_view key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? nullptr : &found->second;
}

void LearnedKeywords::Learn(const generation::SettingsPtr& settings, uint32_t listener,
                            const mail::EhloKeywords& keywords) {
  std::string key = KeyOf(*settings, listener);
  const auto found = known_.find(key);
  if (found != known_.end()) {
    if (found->second != keywords) found->second = keywords;
    return;
  }
  // Names of back ends that are gone are not worth telling apart from others: all is soon learned
  // anew.
  if (known_.size() >= kMostBackends) known_.clear();
  known_.emplace(std::move(key), keywords);
}

}  // namespace postern::session
