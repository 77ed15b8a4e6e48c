// Loading a generation: the configuration, what it names, and what comes of both.
#include "master/loader.h"

#include <algorithm>
#include <utility>

#include "master/watch_plan.h"
#include "postern/os/socket_address.h"
#include "postern/pki/self_signed.h"
#include "postern/tls/policy.h"
#include "postern/tls/server_contexts.h"

namespace postern::master {
namespace {

using Configured = std::expected<config::Loaded, std::vector<Error>>;

// A fresh installation gets its pair; nothing happens to others.
Status MakeFirstPair(config::Loaded& loaded) {
  if (!generation::NeedsSelfSigned(loaded.config.certificates)) return {};
  const Status made = pki::InstallSelfSigned(loaded.config.certificates.directory);
  if (!made) return made;
  loaded.warnings.push_back(
      {"no certificate was there: made a self-signed one in " +
           loaded.config.certificates.directory,
       "put a certificate of an authority in its place when clients are to trust it",
       loaded.config.certificates.where});
  return {};
}

generation::Occasion OccasionOf(const LoadRequest& request) {
  if (request.keep) return generation::Occasion::kWatch;
  return request.previous == nullptr ? generation::Occasion::kStart : generation::Occasion::kReload;
}

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

Error WithoutMemory() {
  return {"there is not enough memory for the new generation beside the one that serves",
          "give Postern more memory (its limits, its control group, the machine), or restart it"};
}

LoadOutcome LoadGeneration(const std::string& config_path, const LoadRequest& request) {
  // The lists of files and candidates of many certificates are larger than what stays of them, and
  // what the master holds at a fork its workers hold, too.
  const tls::PromptRelease release;
  Configured loaded =
      request.keep ? Configured(config::Loaded{*request.keep, {}}) : config::Load(config_path);
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  if (request.previous == nullptr && !request.succeeding) {
    if (Status made = MakeFirstPair(*loaded); !made) {
      return std::unexpected(std::vector{made.error()});
    }
  }
  NameListeners(loaded->config.listeners);
  // Before anything is read: what changes from here on differs from it.
  const uint64_t watched_state =
      loaded->config.certificates.watch ? MakeWatchPlan(loaded->config).state : 0;
  std::vector<Error> faults = tls::CheckPolicies(loaded->config);
  auto ticket_keys = shm::ReadTicketKeyFiles(loaded->config.tickets.files);
  if (!ticket_keys) {
    ticket_keys.error().where = loaded->config.tickets.where;
    faults.push_back(ticket_keys.error());
  }
  auto compiled = generation::Compile(*loaded, request.previous, request.number,
                                      OccasionOf(request), generation::Summaries::kLeftOut);
  if (!compiled) faults.insert(faults.end(), compiled.error().begin(), compiled.error().end());
  if (!faults.empty()) return std::unexpected(std::move(faults));
  LoadedGeneration result{std::move(loaded->config), std::move(*compiled),
                          std::move(loaded->warnings), watched_state, std::move(*ticket_keys)};
  const std::vector<Error>& more = result.generation->warnings;
  result.warnings.insert(result.warnings.end(), more.begin(), more.end());
  return result;
}

}  // namespace postern::master
