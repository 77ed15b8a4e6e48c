#include "postern/session/learned_keywords.h"

#include <string>

#include "generation/settings_image.h"
#include "postern/os/sealed_memory.h"
#include "tests/unit/catch.h"

namespace postern::session {
namespace {

// Listeners 0 and 1 before back end "a", 2 (LMTP) too, 3 before back end "b".
generation::SettingsPtr MakeSettings(const std::string& first = "a") {
  config::Config config;
  for (const std::string& name : {first, std::string("b")})
    config.backends.push_back({.name = name});
  const auto add = [&](const std::string& backend, config::Service service) {
    config::Listener listener;
    listener.name = "l" + std::to_string(config.listeners.size());
    listener.service = service;
    listener.backend = backend;
    config.listeners.push_back(listener);
  };
  add(first, config::Service::kSmtp);
  add(first, config::Service::kSubmission);
  add(first, config::Service::kLmtp);
  add("b", config::Service::kSmtp);
  auto memory = os::MakeSealed("settings", generation::BuildSettings(config, 1, {}, {}));
  REQUIRE(memory);
  auto mapped = generation::Settings::Map(memory->get());
  if (!mapped) FAIL(mapped.error().ToString());
  return *mapped;
}

}  // namespace

TEST_CASE("learned keywords: what one session of a back end heard the next one knows") {
  LearnedKeywords cache;
  const generation::SettingsPtr settings = MakeSettings();
  CHECK(cache.Find(settings, 0) == nullptr);
  cache.Learn(settings, 0, {"SIZE 1000"});
  REQUIRE(cache.Find(settings, 0) != nullptr);
  CHECK(*cache.Find(settings, 1) == mail::EhloKeywords{"SIZE 1000"});
  CHECK(cache.Find(settings, 2) == nullptr);  // LMTP's are others
  CHECK(cache.Find(settings, 3) == nullptr);

  cache.Learn(settings, 1, {"SIZE 2000", "8BITMIME"});
  CHECK(*cache.Find(settings, 0) == mail::EhloKeywords{"SIZE 2000", "8BITMIME"});
  // A reload has other settings, and the same back end.
  CHECK(cache.Find(MakeSettings(), 0) != nullptr);
}

TEST_CASE("learned keywords: names of back ends without end do not pile up") {
  LearnedKeywords cache;
  for (size_t i = 0; i <= LearnedKeywords::kMostBackends; ++i) {
    cache.Learn(MakeSettings("a" + std::to_string(i)), 0, {"SIZE"});
  }
  CHECK(cache.Find(MakeSettings("a0"), 0) == nullptr);
  CHECK(cache.Find(MakeSettings("a" + std::to_string(LearnedKeywords::kMostBackends)), 0) !=
        nullptr);
}

}  // namespace postern::session
