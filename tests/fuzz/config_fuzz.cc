// Fuzzing of the configuration parser. The file comes from the administrator, not from the network,
// but the console will take uploads, and a master that dies of a typo takes the mail down.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "postern/base/check.h"
#include "postern/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto loaded = postern::config::Parse(text, "/etc/postern/postern.toml");
  if (!loaded.has_value()) {
    POSTERN_CHECK(!loaded.error().empty());
    for (const postern::Error& error : loaded.error()) {
      POSTERN_CHECK(!error.what.empty() && !error.remedy.empty());
      // One fault is one line of output, whatever the file holds.
      POSTERN_CHECK(!error.ToString().contains('\n'));
    }
    return 0;
  }
  // What the other modules rely on.
  POSTERN_CHECK(!loaded->config.listeners.empty());
  for (const postern::config::Listener& listener : loaded->config.listeners) {
    POSTERN_CHECK(!listener.addresses.empty());
    POSTERN_CHECK(listener.timeouts.idle_ms > 0 && listener.timeouts.handshake_ms > 0);
    for (const postern::config::ListenAddress& address : listener.addresses) {
      POSTERN_CHECK(address.port != 0 && !address.ip.empty());
    }
  }
  for (const postern::config::Backend& backend : loaded->config.backends) {
    POSTERN_CHECK(!backend.servers.empty());
    for (const postern::config::Server& server : backend.servers) {
      POSTERN_CHECK(server.host.empty() ? server.unix_path.starts_with('/') : server.port != 0);
    }
  }
  return 0;
}
