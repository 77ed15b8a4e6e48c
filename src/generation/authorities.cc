// Authorities and revocation lists are read anew at every reload: they are few, and a list that was
// renewed has to hold from then on. The machine's own list of authorities, which most back ends
// have, is the largest thing in the settings (some 200 KB): they share it.
#include "generation/authorities.h"

#include <map>
#include <string>
#include <utility>

#include "postern/os/clock.h"

namespace postern::generation {
namespace {

class Reader {
 public:
  Reader(const Sources* previous, std::vector<Error>& faults, std::vector<Error>& warnings)
      : previous_(previous), faults_(faults), warnings_(warnings) {}

  uint32_t OfClients(const config::ClientCertificates& clients) {
    if (clients.mode == config::ClientMode::kOff) return kNoTrust;
    return Set(clients.ca, clients.crls, pki::TrustedFor::kClients, clients.ca_where,
               clients.crls.empty() ? clients.ca_where : clients.crl_where);
  }

  uint32_t OfServers(const config::BackendTls& tls) {
    if (tls.mode == config::BackendTlsMode::kOff || !tls.verify) return kNoTrust;
    const size_t faults = faults_.size();
    const size_t warnings = warnings_.size();
    const uint32_t number = Set(tls.ca, {}, pki::TrustedFor::kServers, tls.ca_where, tls.ca_where);
    if (tls.system_ca) {
      // What the machine trusts is its administrator's business elsewhere.
      warnings_.resize(warnings);
      if (faults_.size() > faults) {
        faults_.back().remedy =
            "install the package ca-certificates, or name the servers' authority in tls_ca";
      }
    }
    return number;
  }

  std::vector<pki::Trust> TakeSets() { return std::move(sets_); }

 private:
  uint32_t Set(const std::string& ca, const std::vector<std::string>& crls,
               pki::TrustedFor trusted_for, const Where& where, const Where& warnings_where) {
    const auto number = static_cast<uint32_t>(sets_.size());
    const auto [at, fresh] = known_.emplace(std::pair(ca, crls), number);
    if (!fresh) return at->second;
    Result<pki::Trust> trust = pki::LoadTrust(ca, crls, os::WallSeconds(), trusted_for);
    if (!trust) {
      trust.error().where = where;
      if (trust.error().remedy.empty()) {
        trust.error().remedy =
            "name a PEM file with the authorities' certificates that can be read";
      }
      faults_.push_back(std::move(trust.error()));
      const bool had = previous_ != nullptr && number < previous_->trust.size();
      trust = had ? previous_->trust[number] : pki::Trust();
    }
    for (Error& warning : trust->warnings) {
      warning.where = warnings_where;
      warnings_.push_back(std::move(warning));
    }
    sets_.push_back(std::move(*trust));
    return number;
  }

  const Sources* previous_;
  std::vector<Error>& faults_;
  std::vector<Error>& warnings_;
  std::map<std::pair<std::string, std::vector<std::string>>, uint32_t> known_;
  std::vector<pki::Trust> sets_;
};

}  // namespace

ReadTrust ReadAuthorities(const config::Config& config, const Sources* previous,
                          std::vector<Error>& faults, std::vector<Error>& warnings) {
  ReadTrust read;
  Reader reader(previous, faults, warnings);
  for (const config::Listener& listener : config.listeners) {
    read.of_listener.push_back(reader.OfClients(listener.clients));
  }
  for (const config::Backend& backend : config.backends) {
    read.of_backend.push_back(reader.OfServers(backend.tls));
  }
  read.sets = reader.TakeSets();
  return read;
}

}  // namespace postern::generation
