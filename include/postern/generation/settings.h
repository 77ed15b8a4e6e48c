// Settings: the reader of a generation's settings part (the worker's side).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/os/sealed_memory.h"
#include "postern/os/socket_address.h"

namespace postern::generation {

// A policy as config::Policy has it.
struct PolicySettings {
  std::string_view name;
  uint16_t min_version = 0;
  uint16_t max_version = 0;
  std::string_view ciphers;
  std::string_view ciphersuites;
  std::string_view groups;
  std::string_view signature_algorithms;
  bool server_preference = false;
};
// SettingsOf shows `policy`, which must outlive the result, as a worker reads it.
PolicySettings SettingsOf(const config::Policy& policy);

// Authorities of clients or of servers, DER.
struct TrustSettings {
  std::vector<Bytes> certificates;
  std::vector<Bytes> crls;
};
inline constexpr uint32_t kNoTrust = UINT32_MAX;
inline constexpr uint32_t kNoCertificate = UINT32_MAX;

struct ListenerSettings {
  std::string_view name;
  config::Service service = config::Service::kRaw;
  config::TlsMode tls = config::TlsMode::kImplicit;
  uint32_t backend = 0;  // index into Settings::backends
  uint64_t handshake_timeout_ms = 0;
  uint64_t idle_timeout_ms = 0;
  uint32_t policy = 0;  // index into Settings::policies
  config::ClientMode client_mode = config::ClientMode::kOff;
  uint32_t client_depth = 0;
  uint32_t trust = kNoTrust;  // index into Settings::trusts; kNoTrust only with kOff
  config::ProxyAcceptance proxy;
  bool strict_sni = false;
  bool require_tls = true;
  std::string_view host_name;  // what Postern calls itself; never empty
  uint64_t greeting_delay_ms = 0;
  uint64_t dialog_timeout_ms = 0;
  uint64_t first_byte_timeout_ms = 0;  // 0: part of handshake_timeout_ms
  uint64_t unread_timeout_ms = 0;
  config::ListenerAccess access;
};

struct SocketSettings {
  uint32_t listener = 0;  // index into Settings::listeners
  os::SocketAddress address;
};

struct ServerSettings {
  std::string_view text;  // as the administrator wrote it
  // Every address the name resolved to, in order of preference; empty when it did not resolve.
  std::vector<os::SocketAddress> addresses;
  std::string_view unresolved_reason;
  // With TLS: what its certificate has to be for, a host name or a numeric address. Empty only when
  // servers are not verified.
  std::string_view tls_name;
};

struct BackendSettings {
  std::string_view name;
  uint64_t connect_timeout_ms = 0;
  uint64_t greeting_timeout_ms = 0;
  std::vector<ServerSettings> servers;
  config::ProxyOut proxy = config::ProxyOut::kOff;
  config::BackendTlsMode tls = config::BackendTlsMode::kOff;
  uint16_t tls_min_version = 0;  // as on the wire
  uint32_t trust = kNoTrust;     // index into Settings::trusts; kNoTrust: no verification
  // Our own certificate for servers that ask for one: its number in the name index.
  uint32_t certificate = kNoCertificate;
  bool identify_clients = false;
  config::LoginSource identify_login = config::LoginSource::kNone;
  bool ehlo_probe = false;
};

// Settings is immutable; the views in it live as long as it does. Connections hold it (shared)
// until they end.
class Settings {
 public:
  // Maps the part, refuses what is unsealed, too short, of another version, or has an offset or
  // reference out of range.
  static Result<std::shared_ptr<const Settings>> Map(int fd);

  uint64_t number() const { return number_; }
  const std::vector<ListenerSettings>& listeners() const { return listeners_; }
  const std::vector<SocketSettings>& sockets() const { return sockets_; }
  const std::vector<BackendSettings>& backends() const { return backends_; }
  const std::vector<PolicySettings>& policies() const { return policies_; }
  const std::vector<TrustSettings>& trusts() const { return trusts_; }
  uint32_t max_connections() const { return max_connections_; }  // for all workers together
  uint32_t max_handshakes() const { return max_handshakes_; }    // likewise; 0: no limit
  const config::AddressLimits& address_limits() const { return address_limits_; }
  uint32_t memory_reserve_mib() const { return memory_reserve_mib_; }
  bool tickets_enabled() const { return tickets_enabled_; }
  uint32_t ticket_count() const { return ticket_count_; }
  uint64_t ticket_lifetime_s() const { return ticket_lifetime_s_; }

 private:
  friend class SettingsReader;
  os::Mapping mapping_;
  uint64_t number_ = 0;
  std::vector<ListenerSettings> listeners_;
  std::vector<SocketSettings> sockets_;
  std::vector<BackendSettings> backends_;
  std::vector<PolicySettings> policies_;
  std::vector<TrustSettings> trusts_;
  uint32_t max_connections_ = 0;
  uint32_t max_handshakes_ = 0;
  config::AddressLimits address_limits_;
  uint32_t memory_reserve_mib_ = 0;
  bool tickets_enabled_ = true;
  uint32_t ticket_count_ = 0;
  uint64_t ticket_lifetime_s_ = 0;
};
using SettingsPtr = std::shared_ptr<const Settings>;

}  // namespace postern::generation
