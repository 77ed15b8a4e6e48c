// Loader: reads configuration and certificates in the background.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "master/background.h"
#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/generation/compile.h"
#include "postern/shm/ticket_key_files.h"

namespace postern::master {

using ConfigPtr = std::shared_ptr<const config::Config>;

struct LoadedGeneration {
  config::Config config;
  generation::GenerationPtr generation;
  std::vector<Error> warnings = {};  // the configuration's, then the generation's
  // Of the files as they were before they were read (WatchPlan); only with certificates.watch.
  uint64_t watched_state = 0;
  shm::TicketKeyList ticket_keys = {};  // from [tickets] files
};
using LoadOutcome = std::expected<LoadedGeneration, std::vector<Error>>;

struct LoadRequest {
  generation::GenerationPtr previous;  // null at a start
  uint64_t number = 0;
  // Set: the configuration is this one, and only the files that it names are looked at
  // (generation::Occasion::kWatch).
  ConfigPtr keep = {};
  // At a start: another process serves, whose place this one takes.
  bool succeeding = false;
};

// LoadGeneration reads everything and compiles a generation. At a start, when there is no
// certificate at all, it makes a self-signed one, so that a fresh installation serves at once; not
// at a reload or an upgrade, where certificates that are gone for a moment must not be replaced by
// one that no client trusts. At a start alone somebody may be asked for a passphrase, too: the call
// then takes as long as the answer.
LoadOutcome LoadGeneration(const std::string& config_path, const LoadRequest& request);

using Loader = Background<LoadOutcome>;

// WithoutMemory is why a reload is refused for which there is not enough of it.
Error WithoutMemory();

}  // namespace postern::master
