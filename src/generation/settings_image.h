// The layout of the settings part, for its builder and its reader. Version 1, 2026-11-22.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "generation/image.h"
#include "postern/config/config.h"
#include "postern/os/socket_address.h"

namespace postern::generation {

struct SettingsHeader {
  PartHeader part;
  uint64_t number = 0;
  uint64_t ticket_lifetime_s = 0;
  uint32_t max_connections = 0;
  uint32_t tickets_enabled = 0;  // 0 or 1
  TableRef listeners;            // ListenerEntry
  TableRef sockets;              // SocketEntry
  TableRef backends;             // BackendEntry
  TableRef servers;              // ServerEntry
  TableRef addresses;            // AddressEntry
  TableRef texts;                // octets
};

struct ListenerEntry {
  TextRef name;
  uint32_t service = 0;  // config::Service
  uint32_t tls = 0;      // config::TlsMode
  uint32_t backend = 0;  // index into backends
  uint32_t reserved = 0;
  uint64_t handshake_timeout_ms = 0;
  uint64_t idle_timeout_ms = 0;
};

struct SocketEntry {
  uint32_t listener = 0;  // index into listeners
  uint32_t address = 0;   // index into addresses
};

struct BackendEntry {
  TextRef name;
  uint64_t connect_timeout_ms = 0;
  uint32_t first_server = 0;
  uint32_t server_count = 0;
};

struct ServerEntry {
  TextRef text;
  TextRef unresolved_reason;
  uint32_t first_address = 0;
  uint32_t address_count = 0;
};

struct AddressEntry {
  uint32_t size = 0;  // of the sockaddr
  uint32_t reserved = 0;
  unsigned char octets[sizeof(sockaddr_storage)] = {};  // the sockaddr, then zeros
};

static_assert(Plain<SettingsHeader> && Plain<ListenerEntry> && Plain<SocketEntry> &&
              Plain<BackendEntry> && Plain<ServerEntry> && Plain<AddressEntry>);
static_assert(sizeof(SettingsHeader) == 160 && sizeof(ListenerEntry) == 40 &&
              sizeof(SocketEntry) == 8 && sizeof(BackendEntry) == 24 && sizeof(ServerEntry) == 24 &&
              sizeof(AddressEntry) == 136);

// What a server's text came to.
struct ResolvedServer {
  std::vector<os::SocketAddress> addresses;
  std::string unresolved_reason;
};

// BuildSettings lays out the settings of generation `number`. `sockets` are pairs of listener
// number and address; `servers` has one entry per server of config.backends, in order.
std::vector<std::byte> BuildSettings(
    const config::Config& config, uint64_t number,
    const std::vector<std::pair<uint32_t, os::SocketAddress>>& sockets,
    const std::vector<ResolvedServer>& servers);

}  // namespace postern::generation
