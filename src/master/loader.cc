// The loader thread. It is detached and shares its state by a counted pointer: a resolver can keep
// it for minutes, and the master's end must not wait for that. One thread per load and not a
// standing one, since loads are rare and an idle thread would still be one more to fork beside.
#include "master/loader.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "postern/base/check.h"
#include "postern/os/socket_address.h"
#include "postern/pki/self_signed.h"
#include "postern/tls/policy.h"

namespace postern::master {

struct Loader::Shared {
  os::UniqueFd event;
  std::mutex mutex;
  std::optional<LoadOutcome> outcome;
};

namespace {

// Only greetings ask for the full name, and a resolver that is down costs time.
void NameListeners(std::vector<config::Listener>& listeners) {
  const bool greets = std::ranges::any_of(listeners, [](const config::Listener& listener) {
    return listener.tls == config::TlsMode::kStartTls || listener.tls == config::TlsMode::kAuto;
  });
  std::string machine;
  for (config::Listener& listener : listeners) {
    if (!listener.host_name.empty()) continue;
    if (machine.empty()) machine = os::MachineName(greets);
    listener.host_name = machine;
  }
}

}  // namespace

LoadOutcome LoadGeneration(const std::string& config_path,
                           const generation::GenerationPtr& previous, uint64_t number, bool first) {
  std::expected<config::Loaded, std::vector<Error>> loaded = config::Load(config_path);
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  if (first && generation::NeedsSelfSigned(loaded->config.certificates)) {
    const Status made = pki::InstallSelfSigned(loaded->config.certificates.directory);
    if (!made) return std::unexpected(std::vector{made.error()});
    loaded->warnings.push_back(
        {"no certificate was there: made a self-signed one in " +
             loaded->config.certificates.directory,
         "put a certificate of an authority in its place when clients are to trust it",
         loaded->config.certificates.where});
  }
  NameListeners(loaded->config.listeners);
  std::vector<Error> faults = tls::CheckPolicies(loaded->config);
  auto compiled = generation::Compile(*loaded, previous, number, first);
  if (!compiled) faults.insert(faults.end(), compiled.error().begin(), compiled.error().end());
  if (!faults.empty()) return std::unexpected(std::move(faults));
  LoadedGeneration result{std::move(loaded->config), std::move(*compiled),
                          std::move(loaded->warnings)};
  const std::vector<Error>& more = result.generation->warnings;
  result.warnings.insert(result.warnings.end(), more.begin(), more.end());
  return result;
}

Result<Loader> Loader::Create() {
  Loader loader;
  loader.shared_ = std::make_shared<Shared>();
  loader.shared_->event.Reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!loader.shared_->event.valid()) return FailErrno("cannot make an eventfd", errno);
  return loader;
}

int Loader::fd() const { return shared_->event.get(); }

Status Loader::Start(Function function) {
  POSTERN_CHECK(!busy_);
  try {
    // Signals are blocked in the thread as in its maker: they all come by signalfd.
    std::thread([shared = shared_, function = std::move(function)] {
      LoadOutcome outcome = function();
      const std::lock_guard lock(shared->mutex);
      shared->outcome = std::move(outcome);
      ::eventfd_write(shared->event.get(), 1);
    }).detach();
  } catch (const std::system_error& error) {
    return Fail(std::string("cannot start the loader thread: ") + error.what());
  }
  busy_ = true;
  return {};
}

std::optional<LoadOutcome> Loader::Take() {
  eventfd_t ignored = 0;
  ::eventfd_read(shared_->event.get(), &ignored);
  const std::lock_guard lock(shared_->mutex);
  std::optional<LoadOutcome> outcome = std::exchange(shared_->outcome, std::nullopt);
  if (outcome) busy_ = false;
  return outcome;
}

}  // namespace postern::master
