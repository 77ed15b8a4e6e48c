// The layout of the settings part, for its builder and its reader.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "generation/image.h"
#include "postern/config/config.h"
#include "postern/generation/settings.h"
#include "postern/os/socket_address.h"
#include "postern/pki/trust.h"

namespace postern::generation {

struct SettingsHeader {
  PartHeader part;
  uint64_t number = 0;
  uint64_t ticket_lifetime_s = 0;
  uint64_t ticket_count = 0;  // at most limits::kMaxTicketCount
  uint32_t max_connections = 0;
  uint32_t tickets_enabled = 0;  // 0 or 1
  TableRef listeners;            // ListenerEntry
  TableRef sockets;              // SocketEntry
  TableRef backends;             // BackendEntry
  TableRef servers;              // ServerEntry
  TableRef addresses;            // AddressEntry
  TableRef texts;                // octets
  TableRef policies;             // PolicyEntry
  TableRef trusts;               // TrustEntry
  TableRef ders;                 // DerEntry
  TableRef proxies;              // ProxyEntry, one for each listener
  TableRef networks;             // NetworkEntry
  TableRef limits;               // LimitsEntry, one
  TableRef accesses;             // AccessEntry, one for each listener
  TableRef access_networks;      // NetworkEntry, of limits and accesses
};

struct ListenerEntry {
  TextRef name;
  uint32_t service = 0;  // config::Service
  uint32_t tls = 0;      // config::TlsMode
  uint32_t backend = 0;  // index into backends
  uint32_t policy = 0;   // index into policies
  uint64_t handshake_timeout_ms = 0;
  uint64_t idle_timeout_ms = 0;
  uint32_t client_mode = 0;  // config::ClientMode
  uint32_t client_depth = 0;
  uint32_t trust = 0;       // index into trusts; with client certificates off kNoTrust
  uint32_t strict_sni = 0;  // 0 or 1
  TextRef host_name;
  uint64_t greeting_delay_ms = 0;
  uint64_t dialog_timeout_ms = 0;
  uint32_t require_tls = 0;  // 0 or 1
  uint32_t reserved = 0;
};

struct PolicyEntry {
  TextRef name;
  TextRef ciphers;
  TextRef ciphersuites;
  TextRef groups;
  TextRef signature_algorithms;
  uint32_t min_version = 0;  // as on the wire
  uint32_t max_version = 0;
  uint32_t server_preference = 0;  // 0 or 1
  uint32_t reserved = 0;
};

// The authorities of one listener or several: certificates, then revocation lists.
struct TrustEntry {
  uint32_t first = 0;  // index into ders
  uint32_t certificates = 0;
  uint32_t crls = 0;  // behind the certificates
  uint32_t reserved = 0;
};

struct DerEntry {
  TextRef octets;  // in texts
};

// Whom a listener believes a PROXY header from.
struct ProxyEntry {
  uint64_t timeout_ms = 0;
  uint32_t in = 0;             // config::ProxyIn
  uint32_t first_network = 0;  // index into networks
  uint32_t network_count = 0;  // at least 1 unless `in` is kOff
  uint32_t reserved = 0;
};

struct NetworkEntry {
  unsigned char address[16] = {};  // IPv4 as IPv4-mapped IPv6
  uint32_t prefix = 0;             // 0 to 128
};

// What holds for each client address.
struct LimitsEntry {
  uint32_t handshakes = 0;  // of the machine
  uint32_t memory_reserve_mib = 0;
  uint32_t connections = 0;
  uint32_t connections_per_second = 0;
  uint32_t burst = 0;
  uint32_t failures = 0;
  uint32_t first_exempt = 0;  // index into access_networks
  uint32_t exempt_count = 0;
  uint64_t failure_window_ms = 0;
  uint64_t penalty_ms = 0;
  uint64_t penalty_max_ms = 0;
};

// Who may come to a listener, and how many; its further timeouts.
struct AccessEntry {
  uint64_t first_byte_timeout_ms = 0;
  uint64_t unread_timeout_ms = 0;
  uint32_t connections = 0;
  uint32_t connections_per_address = 0;
  uint32_t first_network = 0;  // index into access_networks: allow, then deny
  uint32_t allow_count = 0;
  uint32_t deny_count = 0;
  uint32_t reserved = 0;
};

struct SocketEntry {
  uint32_t listener = 0;  // index into listeners
  uint32_t address = 0;   // index into addresses
};

struct BackendEntry {
  TextRef name;
  uint64_t connect_timeout_ms = 0;
  uint64_t greeting_timeout_ms = 0;
  uint32_t first_server = 0;
  uint32_t server_count = 0;
  uint32_t proxy = 0;        // config::ProxyOut
  uint32_t tls = 0;          // config::BackendTlsMode
  uint32_t min_version = 0;  // as on the wire
  // Index into trusts; kNoTrust: servers are not verified, as without TLS.
  uint32_t trust = 0;
  uint32_t certificate = 0;       // number in the index part, or kNoCertificate
  uint32_t identify_clients = 0;  // 0 or 1
  uint32_t ehlo_probe = 0;        // 0 or 1
  uint32_t identify_login = 0;    // config::LoginSource
};

struct ServerEntry {
  TextRef text;
  TextRef unresolved_reason;
  TextRef tls_name;
  uint32_t first_address = 0;
  uint32_t address_count = 0;
};

struct AddressEntry {
  uint32_t size = 0;  // of the sockaddr
  uint32_t reserved = 0;
  unsigned char octets[sizeof(sockaddr_storage)] = {};  // the sockaddr, then zeros
};

static_assert(Plain<SettingsHeader> && Plain<ListenerEntry> && Plain<SocketEntry> &&
              Plain<BackendEntry> && Plain<ServerEntry> && Plain<AddressEntry> &&
              Plain<PolicyEntry> && Plain<TrustEntry> && Plain<DerEntry>);
static_assert(sizeof(PolicyEntry) == 56 && sizeof(TrustEntry) == 16 && sizeof(DerEntry) == 8);
static_assert(Plain<ProxyEntry> && Plain<NetworkEntry> && sizeof(ProxyEntry) == 24 &&
              sizeof(NetworkEntry) == 20);
static_assert(Plain<LimitsEntry> && Plain<AccessEntry> && sizeof(LimitsEntry) == 56 &&
              sizeof(AccessEntry) == 40);
static_assert(sizeof(SettingsHeader) == 248 + 3 * sizeof(TableRef) && sizeof(ListenerEntry) == 88 &&
              sizeof(SocketEntry) == 8 && sizeof(BackendEntry) == 64 && sizeof(ServerEntry) == 32 &&
              sizeof(AddressEntry) == 136);

// What a server's text came to.
struct ResolvedServer {
  std::vector<os::SocketAddress> addresses;
  std::string unresolved_reason;
};

// What files of authorities came to. Listeners and back ends that name the same files share one.
struct ReadTrust {
  std::vector<uint32_t> of_listener;  // by listener: index into `sets`, or kNoTrust
  std::vector<pki::Trust> sets;
  std::vector<uint32_t> of_backend = {};  // by back end, likewise
};

// BuildSettings lays out the settings of generation `number`. `sockets` are pairs of listener
// number and address; `servers` has one entry per server of config.backends, in order; `trust` may
// be empty when no listener asks for client certificates and no back end has TLS, and so may
// `backend_certificates`, by back end the number of our own certificate in the index part or
// kNoCertificate.
std::vector<std::byte> BuildSettings(
    const config::Config& config, uint64_t number,
    const std::vector<std::pair<uint32_t, os::SocketAddress>>& sockets,
    const std::vector<ResolvedServer>& servers, const ReadTrust& trust = {},
    const std::vector<uint32_t>& backend_certificates = {});

}  // namespace postern::generation
