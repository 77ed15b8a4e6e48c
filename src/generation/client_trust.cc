// Authorities and revocation lists are read anew at every reload: they are few, and a list that was
// renewed has to hold from then on.
#include "generation/client_trust.h"

#include <map>
#include <utility>

#include "postern/os/clock.h"

namespace postern::generation {

ReadTrust ReadClientTrust(const config::Config& config, std::vector<Error>& faults,
                          std::vector<Error>& warnings) {
  ReadTrust read;
  std::map<std::pair<std::string, std::vector<std::string>>, uint32_t> known;
  for (const config::Listener& listener : config.listeners) {
    const config::ClientCertificates& clients = listener.clients;
    read.of_listener.push_back(kNoTrust);
    if (clients.mode == config::ClientMode::kOff) continue;
    const auto number = static_cast<uint32_t>(read.sets.size());
    const auto [at, fresh] = known.emplace(std::pair(clients.ca, clients.crls), number);
    read.of_listener.back() = at->second;
    if (!fresh) continue;
    Result<pki::Trust> trust = pki::LoadTrust(clients.ca, clients.crls, os::WallSeconds());
    if (!trust) {
      trust.error().where = clients.ca_where;
      faults.push_back(std::move(trust.error()));
      trust.emplace();
    }
    for (Error& warning : trust->warnings) {
      warning.where = clients.crls.empty() ? clients.ca_where : clients.crl_where;
      warnings.push_back(std::move(warning));
    }
    read.sets.push_back(std::move(*trust));
  }
  return read;
}

}  // namespace postern::generation
