// The builder of the settings part: Config, already checked, in flat tables.
#include "generation/settings_image.h"

#include <map>

#include "postern/base/check.h"

namespace postern::generation {
namespace {

AddressEntry EntryOf(const os::SocketAddress& address) {
  AddressEntry entry;
  POSTERN_CHECK(address.size() <= sizeof entry.octets);
  entry.size = address.size();
  std::memcpy(entry.octets, address.bytes().data(), address.size());
  return entry;
}

// The number that goes with entry `at`; none where there is no list.
uint32_t At(const std::vector<uint32_t>& numbers, size_t at, uint32_t none) {
  return at < numbers.size() ? numbers[at] : none;
}

uint32_t Count(size_t size) { return static_cast<uint32_t>(size); }

std::vector<PolicyEntry> PolicyEntries(const config::Config& config, TextPool& texts) {
  std::vector<PolicyEntry> entries;
  for (const config::Policy& policy : config.policies) {
    entries.push_back({texts.Add(policy.name), texts.Add(policy.ciphers),
                       texts.Add(policy.ciphersuites), texts.Add(policy.groups),
                       texts.Add(policy.signature_algorithms), policy.min_version,
                       policy.max_version, policy.server_preference ? 1U : 0U, 0});
  }
  return entries;
}

void AddTrust(const ReadTrust& trust, TextPool& texts, std::vector<TrustEntry>& entries,
              std::vector<DerEntry>& ders) {
  const auto add = [&](const std::vector<unsigned char>& der) {
    ders.push_back({texts.Add(AsText(std::as_bytes(std::span(der))))});
  };
  for (const pki::Trust& set : trust.sets) {
    entries.push_back({Count(ders.size()), Count(set.certificates.size()), Count(set.crls.size())});
    for (const auto& der : set.certificates) add(der);
    for (const auto& der : set.crls) add(der);
  }
}

void AddNetworks(const std::vector<os::Network>& networks, std::vector<NetworkEntry>& entries) {
  for (const os::Network& network : networks) {
    NetworkEntry& entry = entries.emplace_back();
    std::memcpy(entry.address, network.address.data(), sizeof entry.address);
    entry.prefix = network.prefix;
  }
}

LimitsEntry EntryOf(const config::Limits& limits, std::vector<NetworkEntry>& networks) {
  const config::AddressLimits& of = limits.of_address;
  const LimitsEntry entry{limits.handshakes,
                          limits.memory_reserve_mib,
                          of.connections,
                          of.connections_per_second,
                          of.burst,
                          of.failures,
                          Count(networks.size()),
                          Count(of.exempt.size()),
                          of.failure_window_ms,
                          of.penalty_ms,
                          of.penalty_max_ms};
  AddNetworks(of.exempt, networks);
  return entry;
}

AccessEntry EntryOf(const config::Listener& listener, std::vector<NetworkEntry>& networks) {
  const config::ListenerAccess& access = listener.access;
  const AccessEntry entry{listener.timeouts.first_byte_ms,
                          listener.timeouts.unread_ms,
                          access.connections,
                          access.connections_per_address,
                          Count(networks.size()),
                          Count(access.allow.size()),
                          Count(access.deny.size()),
                          0};
  AddNetworks(access.allow, networks);
  AddNetworks(access.deny, networks);
  return entry;
}

void AddProxies(const config::Config& config, std::vector<ProxyEntry>& entries,
                std::vector<NetworkEntry>& networks) {
  for (const config::Listener& listener : config.listeners) {
    const config::ProxyAcceptance& proxy = listener.proxy;
    entries.push_back({proxy.timeout_ms, static_cast<uint32_t>(proxy.in), Count(networks.size()),
                       Count(proxy.from.size())});
    AddNetworks(proxy.from, networks);
  }
}

}  // namespace

std::vector<std::byte> BuildSettings(
    const config::Config& config, uint64_t number,
    const std::vector<std::pair<uint32_t, os::SocketAddress>>& sockets,
    const std::vector<ResolvedServer>& servers, const ReadTrust& trust,
    const std::vector<uint32_t>& backend_certificates) {
  TextPool texts;
  std::vector<AddressEntry> addresses;
  std::map<std::string_view, uint32_t> backend_numbers;

  std::vector<BackendEntry> backends;
  std::vector<ServerEntry> server_entries;
  for (const config::Backend& backend : config.backends) {
    backend_numbers.emplace(backend.name, Count(backends.size()));
    const size_t number_of = backends.size();
    const bool tls = backend.tls.mode != config::BackendTlsMode::kOff;
    backends.push_back(
        {texts.Add(backend.name), backend.connect_timeout_ms, backend.greeting_timeout_ms,
         Count(server_entries.size()), Count(backend.servers.size()),
         static_cast<uint32_t>(backend.proxy), static_cast<uint32_t>(backend.tls.mode),
         backend.tls.min_version, At(trust.of_backend, number_of, kNoTrust),
         At(backend_certificates, number_of, kNoCertificate), backend.identify_clients ? 1U : 0U,
         backend.ehlo_probe ? 1U : 0U, static_cast<uint32_t>(backend.identify_login)});
    for (const config::Server& server : backend.servers) {
      POSTERN_CHECK(server_entries.size() < servers.size());
      const ResolvedServer& resolved = servers[server_entries.size()];
      server_entries.push_back({texts.Add(server.text), texts.Add(resolved.unresolved_reason),
                                texts.Add(tls ? config::ExpectedName(backend, server) : ""),
                                Count(addresses.size()), Count(resolved.addresses.size())});
      for (const os::SocketAddress& address : resolved.addresses) {
        addresses.push_back(EntryOf(address));
      }
    }
  }

  const std::vector<PolicyEntry> policies = PolicyEntries(config, texts);
  std::vector<TrustEntry> trusts;
  std::vector<DerEntry> ders;
  AddTrust(trust, texts, trusts, ders);

  std::vector<ListenerEntry> listeners;
  for (const config::Listener& listener : config.listeners) {
    const auto backend = backend_numbers.find(listener.backend);
    POSTERN_CHECK(backend != backend_numbers.end());  // config::Parse has checked it
    const config::Policy* policy = config::FindPolicy(config.policies, listener.policy);
    POSTERN_CHECK(policy != nullptr);  // likewise
    const size_t number_of = listeners.size();
    listeners.push_back({texts.Add(listener.name), static_cast<uint32_t>(listener.service),
                         static_cast<uint32_t>(listener.tls), backend->second,
                         Count(static_cast<size_t>(policy - config.policies.data())),
                         listener.timeouts.handshake_ms, listener.timeouts.idle_ms,
                         static_cast<uint32_t>(listener.clients.mode), listener.clients.depth,
                         At(trust.of_listener, number_of, kNoTrust), listener.strict_sni ? 1U : 0U,
                         texts.Add(listener.host_name), listener.greeting_delay_ms,
                         listener.timeouts.dialog_ms, listener.require_tls ? 1U : 0U, 0});
  }

  std::vector<ProxyEntry> proxies;
  std::vector<NetworkEntry> networks;
  AddProxies(config, proxies, networks);

  std::vector<NetworkEntry> access_networks;
  const std::vector<LimitsEntry> machine = {EntryOf(config.limits, access_networks)};
  std::vector<AccessEntry> accesses;
  for (const config::Listener& listener : config.listeners) {
    accesses.push_back(EntryOf(listener, access_networks));
  }

  std::vector<SocketEntry> socket_entries;
  for (const auto& [listener, address] : sockets) {
    socket_entries.push_back({listener, Count(addresses.size())});
    addresses.push_back(EntryOf(address));
  }

  ImageBuilder<SettingsHeader> image;
  SettingsHeader header;
  header.number = number;
  header.ticket_lifetime_s = config.tickets.lifetime_s;
  header.ticket_count = config.tickets.count;
  header.max_connections = config.limits.connections;
  header.tickets_enabled = config.tickets.enabled ? 1 : 0;
  header.listeners = image.Append(listeners);
  header.sockets = image.Append(socket_entries);
  header.backends = image.Append(backends);
  header.servers = image.Append(server_entries);
  header.addresses = image.Append(addresses);
  header.texts = image.Append(texts.texts());
  header.policies = image.Append(policies);
  header.trusts = image.Append(trusts);
  header.ders = image.Append(ders);
  header.proxies = image.Append(proxies);
  header.networks = image.Append(networks);
  header.limits = image.Append(machine);
  header.accesses = image.Append(accesses);
  header.access_networks = image.Append(access_networks);
  return image.Finish(header, PartKind::kSettings);
}

}  // namespace postern::generation
