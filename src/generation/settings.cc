// The reader of the settings part. It is small, so it is taken apart once, when it is mapped, and
// every reference is checked on the way; what connections look at later are plain vectors whose
// texts lie in the mapping.
#include "postern/generation/settings.h"

#include <algorithm>
#include <span>

#include "generation/settings_image.h"
#include "postern/base/limits.h"

namespace postern::generation {
namespace {

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail("the settings part of the generation is refused: " + std::string(what));
}

// Ten years: keeps sums and products of timeouts far from the end of 64 bits.
constexpr uint64_t kMaxTimeoutMs = 10ULL * 366 * 86'400 * 1000;

// Whether entries first .. first + count - 1 are there.
bool Inside(uint32_t first, uint32_t count, size_t size) {
  return first <= size && count <= size - first;
}

}  // namespace

class SettingsReader {
 public:
  explicit SettingsReader(Settings& settings)
      : settings_(settings), part_(settings.mapping_.bytes()) {}

  Status Read() {
    if (Status header = CheckHeader(part_, PartKind::kSettings, true); !header) return header;
    if (part_.size() < sizeof header_) return Damaged("it is too short");
    std::memcpy(&header_, part_.data(), sizeof header_);
    const auto texts = TableOf<char>(part_, header_.texts);
    const auto addresses = TableOf<AddressEntry>(part_, header_.addresses);
    if (!texts || !addresses) return Damaged("a table lies outside");
    texts_ = *texts;
    addresses_ = *addresses;
    if (header_.tickets_enabled > 1) return Damaged("a switch is neither on nor off");
    settings_.number_ = header_.number;
    settings_.max_connections_ = header_.max_connections;
    settings_.tickets_enabled_ = header_.tickets_enabled == 1;
    if (header_.ticket_count > limits::kMaxTicketCount) return Damaged("too many tickets");
    settings_.ticket_count_ = static_cast<uint32_t>(header_.ticket_count);
    settings_.ticket_lifetime_s_ = header_.ticket_lifetime_s;
    if (Status trusts = ReadTrusts(); !trusts) return trusts;
    if (Status backends = ReadBackends(); !backends) return backends;
    if (Status policies = ReadPolicies(); !policies) return policies;
    if (Status listeners = ReadListeners(); !listeners) return listeners;
    if (Status proxies = ReadProxies(); !proxies) return proxies;
    if (Status accesses = ReadAccesses(); !accesses) return accesses;
    return ReadSockets();
  }

 private:
  Status ReadBackends() {
    const auto backends = TableOf<BackendEntry>(part_, header_.backends);
    const auto servers = TableOf<ServerEntry>(part_, header_.servers);
    if (!backends || !servers) return Damaged("a table lies outside");
    // Every server and address belongs to one place, so that a few octets cannot unfold to many.
    size_t servers_taken = 0;
    size_t addresses_taken = 0;
    for (const BackendEntry& entry : *backends) {
      const auto name = TextOf(texts_, entry.name);
      if (!name) return Damaged("a text lies outside");
      if (std::max(entry.connect_timeout_ms, entry.greeting_timeout_ms) > kMaxTimeoutMs) {
        return Damaged("a timeout is too long");
      }
      if (!Inside(entry.first_server, entry.server_count, servers->size()) ||
          (servers_taken += entry.server_count) > servers->size()) {
        return Damaged("a back end has a server that is not there");
      }
      if (entry.proxy > static_cast<uint32_t>(config::ProxyOut::kVersion2Tls)) {
        return Damaged("a back end is told of clients in a way that is not known");
      }
      if (entry.identify_clients > 1 || entry.ehlo_probe > 1) {
        return Damaged("a back end is told or is not told");
      }
      if (entry.identify_login > static_cast<uint32_t>(config::LoginSource::kEmail)) {
        return Damaged("a back end is told of logins in a way that is not known");
      }
      if (!TlsFits(entry)) return Damaged("a back end's TLS is not what it can be");
      BackendSettings backend{*name,
                              entry.connect_timeout_ms,
                              entry.greeting_timeout_ms,
                              {},
                              static_cast<config::ProxyOut>(entry.proxy),
                              static_cast<config::BackendTlsMode>(entry.tls),
                              static_cast<uint16_t>(entry.min_version),
                              entry.trust,
                              entry.certificate,
                              entry.identify_clients == 1,
                              static_cast<config::LoginSource>(entry.identify_login),
                              entry.ehlo_probe == 1};
      for (const ServerEntry& server : servers->subspan(entry.first_server, entry.server_count)) {
        if ((addresses_taken += server.address_count) > addresses_.size()) {
          return Damaged("a server has an address that is not there");
        }
        Result<ServerSettings> read = ReadServer(server);
        if (!read) return std::unexpected(read.error());
        // Without a name to compare, any certificate of any authority would do.
        if (backend.trust != kNoTrust && read->tls_name.empty()) {
          return Damaged("a server is to be verified and has no name");
        }
        backend.servers.push_back(std::move(*read));
      }
      settings_.backends_.push_back(std::move(backend));
    }
    return {};
  }

  // Whether what a back end says about TLS can be.
  bool TlsFits(const BackendEntry& entry) const {
    if (entry.tls > static_cast<uint32_t>(config::BackendTlsMode::kStartTls)) return false;
    if (entry.min_version < 0x0301 || entry.min_version > 0x0304) return false;
    const bool off = entry.tls == static_cast<uint32_t>(config::BackendTlsMode::kOff);
    if (off) return entry.trust == kNoTrust && entry.certificate == kNoCertificate;
    return entry.trust == kNoTrust || entry.trust < settings_.trusts_.size();
  }

  Result<ServerSettings> ReadServer(const ServerEntry& entry) {
    const auto text = TextOf(texts_, entry.text);
    const auto reason = TextOf(texts_, entry.unresolved_reason);
    const auto name = TextOf(texts_, entry.tls_name);
    if (!text || !reason || !name) return Damaged("a text lies outside");
    if (!Inside(entry.first_address, entry.address_count, addresses_.size())) {
      return Damaged("a server has an address that is not there");
    }
    ServerSettings server{*text, {}, *reason, *name};
    for (uint32_t i = 0; i < entry.address_count; ++i) {
      const os::SocketAddress address = ReadAddress(entry.first_address + i);
      if (address.family() == AF_UNSPEC) return Damaged("an address is damaged");
      server.addresses.push_back(address);
    }
    return server;
  }

  os::SocketAddress ReadAddress(uint32_t number) const {
    const AddressEntry& entry = addresses_[number];
    if (entry.size > sizeof entry.octets || entry.size < sizeof(sa_family_t)) return {};
    return {reinterpret_cast<const sockaddr*>(entry.octets), entry.size};
  }

  Status ReadPolicies() {
    const auto policies = TableOf<PolicyEntry>(part_, header_.policies);
    if (!policies) return Damaged("a table lies outside");
    for (const PolicyEntry& entry : *policies) {
      const auto name = TextOf(texts_, entry.name);
      const auto ciphers = TextOf(texts_, entry.ciphers);
      const auto suites = TextOf(texts_, entry.ciphersuites);
      const auto groups = TextOf(texts_, entry.groups);
      const auto algorithms = TextOf(texts_, entry.signature_algorithms);
      if (!name || !ciphers || !suites || !groups || !algorithms) {
        return Damaged("a text lies outside");
      }
      if (entry.min_version < 0x0300 || entry.min_version > entry.max_version ||
          entry.max_version > 0x0304 || entry.server_preference > 1) {
        return Damaged("a policy has versions that there are not");
      }
      settings_.policies_.push_back({*name, static_cast<uint16_t>(entry.min_version),
                                     static_cast<uint16_t>(entry.max_version), *ciphers, *suites,
                                     *groups, *algorithms, entry.server_preference == 1});
    }
    return {};
  }

  Status ReadTrusts() {
    const auto trusts = TableOf<TrustEntry>(part_, header_.trusts);
    const auto ders = TableOf<DerEntry>(part_, header_.ders);
    if (!trusts || !ders) return Damaged("a table lies outside");
    size_t taken = 0;  // each belongs to one place, as servers do
    for (const TrustEntry& entry : *trusts) {
      const uint64_t count = uint64_t{entry.certificates} + entry.crls;
      if (count > ders->size() ||
          !Inside(entry.first, static_cast<uint32_t>(count), ders->size()) ||
          (taken += count) > ders->size()) {
        return Damaged("a listener trusts what is not there");
      }
      TrustSettings trust;
      for (const DerEntry& der : ders->subspan(entry.first, count)) {
        const auto octets = TextOf(texts_, der.octets);
        if (!octets) return Damaged("a text lies outside");
        auto& list =
            trust.certificates.size() < entry.certificates ? trust.certificates : trust.crls;
        list.push_back(AsBytes(*octets));
      }
      settings_.trusts_.push_back(std::move(trust));
    }
    return {};
  }

  // Whether what a listener says about client certificates can be.
  bool ClientsFit(const ListenerEntry& entry) const {
    if (entry.strict_sni > 1) return false;
    if (entry.client_mode > static_cast<uint32_t>(config::ClientMode::kRequired)) return false;
    const bool off = entry.client_mode == static_cast<uint32_t>(config::ClientMode::kOff);
    // What asks for certificates and trusts nobody would be open to nobody or, worse, to all.
    return off ? entry.trust == kNoTrust : entry.trust < settings_.trusts_.size();
  }

  Status ReadListeners() {
    const auto listeners = TableOf<ListenerEntry>(part_, header_.listeners);
    if (!listeners) return Damaged("a table lies outside");
    for (const ListenerEntry& entry : *listeners) {
      const auto name = TextOf(texts_, entry.name);
      const auto host_name = TextOf(texts_, entry.host_name);
      if (!name || !host_name) return Damaged("a text lies outside");
      if (entry.service > static_cast<uint32_t>(config::Service::kRaw) ||
          entry.tls > static_cast<uint32_t>(config::TlsMode::kOff) || entry.require_tls > 1) {
        return Damaged("a listener has a service or TLS mode that is not known");
      }
      if (entry.backend >= settings_.backends_.size()) {
        return Damaged("a listener has a back end that is not there");
      }
      if (entry.policy >= settings_.policies_.size() || !ClientsFit(entry)) {
        return Damaged("a listener has a policy or authorities that are not there");
      }
      if (std::max({entry.handshake_timeout_ms, entry.idle_timeout_ms, entry.greeting_delay_ms,
                    entry.dialog_timeout_ms}) > kMaxTimeoutMs) {
        return Damaged("a timeout is too long");
      }
      settings_.listeners_.push_back({*name,
                                      static_cast<config::Service>(entry.service),
                                      static_cast<config::TlsMode>(entry.tls),
                                      entry.backend,
                                      entry.handshake_timeout_ms,
                                      entry.idle_timeout_ms,
                                      entry.policy,
                                      static_cast<config::ClientMode>(entry.client_mode),
                                      entry.client_depth,
                                      entry.trust,
                                      {},
                                      entry.strict_sni == 1,
                                      entry.require_tls == 1,
                                      *host_name,
                                      entry.greeting_delay_ms,
                                      entry.dialog_timeout_ms,
                                      0,
                                      0,
                                      {}});
    }
    return {};
  }

  static bool ReadNetworks(std::span<const NetworkEntry> entries, std::vector<os::Network>& out) {
    for (const NetworkEntry& entry : entries) {
      if (entry.prefix > 128) return false;
      os::Network& network = out.emplace_back();
      std::memcpy(network.address.data(), entry.address, sizeof entry.address);
      network.prefix = entry.prefix;
    }
    return true;
  }

  // What limits clients. Networks lie in the order of their users, each with one.
  Status ReadAccesses() {
    const auto limits = TableOf<LimitsEntry>(part_, header_.limits);
    const auto accesses = TableOf<AccessEntry>(part_, header_.accesses);
    const auto networks = TableOf<NetworkEntry>(part_, header_.access_networks);
    if (!limits || !accesses || !networks) return Damaged("a table lies outside");
    if (limits->size() != 1 || accesses->size() != settings_.listeners_.size()) {
      return Damaged("the limits are not those of its listeners");
    }
    const LimitsEntry& machine = (*limits)[0];
    if (std::max({machine.failure_window_ms, machine.penalty_ms, machine.penalty_max_ms}) >
        kMaxTimeoutMs) {
      return Damaged("a timeout is too long");
    }
    settings_.max_handshakes_ = machine.handshakes;
    settings_.memory_reserve_mib_ = machine.memory_reserve_mib;
    settings_.address_limits_ = {machine.connections,
                                 machine.connections_per_second,
                                 machine.burst,
                                 machine.failures,
                                 machine.failure_window_ms,
                                 machine.penalty_ms,
                                 machine.penalty_max_ms,
                                 {}};
    size_t taken = 0;  // each belongs to one place, as servers do
    const auto take = [&](uint32_t first, uint32_t count, std::vector<os::Network>& out) {
      taken += count;
      return taken <= networks->size() && Inside(first, count, networks->size()) &&
             ReadNetworks(networks->subspan(first, count), out);
    };
    if (!take(machine.first_exempt, machine.exempt_count, settings_.address_limits_.exempt)) {
      return Damaged("a network is not there or damaged");
    }
    for (size_t i = 0; i < accesses->size(); ++i) {
      const AccessEntry& entry = (*accesses)[i];
      ListenerSettings& listener = settings_.listeners_[i];
      if (std::max(entry.first_byte_timeout_ms, entry.unread_timeout_ms) > kMaxTimeoutMs) {
        return Damaged("a timeout is too long");
      }
      listener.first_byte_timeout_ms = entry.first_byte_timeout_ms;
      listener.unread_timeout_ms = entry.unread_timeout_ms;
      listener.access.connections = entry.connections;
      listener.access.connections_per_address = entry.connections_per_address;
      if (!take(entry.first_network, entry.allow_count, listener.access.allow) ||
          !take(entry.first_network + entry.allow_count, entry.deny_count, listener.access.deny)) {
        return Damaged("a network is not there or damaged");
      }
    }
    return {};
  }

  Status ReadProxies() {
    const auto proxies = TableOf<ProxyEntry>(part_, header_.proxies);
    const auto networks = TableOf<NetworkEntry>(part_, header_.networks);
    if (!proxies || !networks) return Damaged("a table lies outside");
    if (proxies->size() != settings_.listeners_.size()) {
      return Damaged("the listeners' proxies are not those of its listeners");
    }
    size_t taken = 0;  // each belongs to one place, as servers do
    for (size_t i = 0; i < proxies->size(); ++i) {
      const ProxyEntry& entry = (*proxies)[i];
      const bool off = entry.in == static_cast<uint32_t>(config::ProxyIn::kOff);
      if (entry.in > static_cast<uint32_t>(config::ProxyIn::kAny) ||
          !Inside(entry.first_network, entry.network_count, networks->size()) ||
          (taken += entry.network_count) > networks->size() ||
          // A listener that believes nobody would be open to nobody.
          (!off && entry.network_count == 0)) {
        return Damaged("a listener has proxies that are not there");
      }
      if (entry.timeout_ms > kMaxTimeoutMs) return Damaged("a timeout is too long");
      config::ProxyAcceptance& proxy = settings_.listeners_[i].proxy;
      proxy.in = static_cast<config::ProxyIn>(entry.in);
      proxy.timeout_ms = entry.timeout_ms;
      if (!ReadNetworks(networks->subspan(entry.first_network, entry.network_count), proxy.from)) {
        return Damaged("a network is damaged");
      }
    }
    return {};
  }

  Status ReadSockets() {
    const auto sockets = TableOf<SocketEntry>(part_, header_.sockets);
    if (!sockets) return Damaged("a table lies outside");
    for (const SocketEntry& entry : *sockets) {
      if (entry.listener >= settings_.listeners_.size() || entry.address >= addresses_.size()) {
        return Damaged("a socket has a listener or address that is not there");
      }
      const os::SocketAddress address = ReadAddress(entry.address);
      if (!address.is_ip()) return Damaged("an address is damaged");
      settings_.sockets_.push_back({entry.listener, address});
    }
    return {};
  }

  Settings& settings_;
  Bytes part_;
  SettingsHeader header_;
  std::span<const char> texts_;
  std::span<const AddressEntry> addresses_;
};

PolicySettings SettingsOf(const config::Policy& policy) {
  return {policy.name,
          policy.min_version,
          policy.max_version,
          policy.ciphers,
          policy.ciphersuites,
          policy.groups,
          policy.signature_algorithms,
          policy.server_preference};
}

Result<std::shared_ptr<const Settings>> Settings::Map(int fd) {
  if (!os::HasSeals(fd, false)) return Damaged("it is not sealed");
  Result<os::Mapping> mapping = os::MapFd(fd, os::MapMode::kReadOnly);
  if (!mapping) return std::unexpected(mapping.error());
  auto settings = std::make_shared<Settings>();
  settings->mapping_ = std::move(*mapping);
  if (Status read = SettingsReader(*settings).Read(); !read) {
    return std::unexpected(read.error());
  }
  return settings;
}

}  // namespace postern::generation
