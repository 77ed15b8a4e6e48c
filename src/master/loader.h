// Loader: reads configuration and certificates on a thread of its own, so that slow disks and
// resolvers hold up no supervision.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/generation/compile.h"
#include "postern/os/unique_fd.h"

namespace postern::master {

struct LoadedGeneration {
  config::Config config;
  generation::GenerationPtr generation;
  std::vector<Error> warnings;  // the configuration's, then the generation's
};
using LoadOutcome = std::expected<LoadedGeneration, std::vector<Error>>;

// LoadGeneration reads everything and compiles generation `number`. At a start (`first`), when
// there is no certificate at all, it makes a self-signed one, so that a fresh installation serves
// at once; not at a reload, where certificates that are gone for a moment must not be replaced by
// one that no client trusts. At a start alone somebody may be asked for a passphrase, too: the call
// then takes as long as the answer.
LoadOutcome LoadGeneration(const std::string& config_path,
                           const generation::GenerationPtr& previous, uint64_t number, bool first);

class Loader {
 public:
  using Function = std::function<LoadOutcome()>;

  static Result<Loader> Create();

  // Readable when an outcome waits.
  int fd() const;
  bool busy() const { return busy_; }
  // Start runs `function` on a new thread; only when not busy.
  Status Start(Function function);
  // Take returns the outcome when there is one; the loader is free again then.
  std::optional<LoadOutcome> Take();

 private:
  struct Shared;  // what thread and owner share; the thread may outlive the owner
  std::shared_ptr<Shared> shared_;
  bool busy_ = false;
};

}  // namespace postern::master
