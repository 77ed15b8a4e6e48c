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

uint32_t Count(size_t size) { return static_cast<uint32_t>(size); }

}  // namespace

std::vector<std::byte> BuildSettings(
    const config::Config& config, uint64_t number,
    const std::vector<std::pair<uint32_t, os::SocketAddress>>& sockets,
    const std::vector<ResolvedServer>& servers) {
  TextPool texts;
  std::vector<AddressEntry> addresses;
  std::map<std::string_view, uint32_t> backend_numbers;

  std::vector<BackendEntry> backends;
  std::vector<ServerEntry> server_entries;
  for (const config::Backend& backend : config.backends) {
    backend_numbers.emplace(backend.name, Count(backends.size()));
    backends.push_back({texts.Add(backend.name), backend.connect_timeout_ms,
                        Count(server_entries.size()), Count(backend.servers.size())});
    for (const config::Server& server : backend.servers) {
      POSTERN_CHECK(server_entries.size() < servers.size());
      const ResolvedServer& resolved = servers[server_entries.size()];
      server_entries.push_back({texts.Add(server.text), texts.Add(resolved.unresolved_reason),
                                Count(addresses.size()), Count(resolved.addresses.size())});
      for (const os::SocketAddress& address : resolved.addresses) {
        addresses.push_back(EntryOf(address));
      }
    }
  }

  std::vector<ListenerEntry> listeners;
  for (const config::Listener& listener : config.listeners) {
    const auto backend = backend_numbers.find(listener.backend);
    POSTERN_CHECK(backend != backend_numbers.end());  // config::Parse has checked it
    listeners.push_back({texts.Add(listener.name), static_cast<uint32_t>(listener.service),
                         static_cast<uint32_t>(listener.tls), backend->second, 0,
                         listener.timeouts.handshake_ms, listener.timeouts.idle_ms});
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
  header.max_connections = config.limits.connections;
  header.tickets_enabled = config.tickets.enabled ? 1 : 0;
  header.listeners = image.Append(listeners);
  header.sockets = image.Append(socket_entries);
  header.backends = image.Append(backends);
  header.servers = image.Append(server_entries);
  header.addresses = image.Append(addresses);
  header.texts = image.Append(texts.texts());
  return image.Finish(header, PartKind::kSettings);
}

}  // namespace postern::generation
