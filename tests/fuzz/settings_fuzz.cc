// Fuzzing of the settings part's reader. Only the master writes parts, so this is the second line:
// a fault of the builder's must end in a refusal, not in a worker that reads beyond the mapping.
#include <cstddef>
#include <cstdint>

#include "postern/base/check.h"
#include "postern/generation/settings.h"
#include "tests/fuzz/resealed.h"

using namespace postern::generation;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto fd = postern::fuzz::MakePart(PartKind::kSettings, {data, size});
  const auto mapped = Settings::Map(fd.get());
  if (!mapped.has_value()) {
    POSTERN_CHECK(!mapped.error().what.empty());
    return 0;
  }
  // What a worker does with it: every reference leads somewhere, every octet can be read.
  const Settings& settings = **mapped;
  size_t octets = 0;
  for (const SocketSettings& socket : settings.sockets()) {
    POSTERN_CHECK(socket.listener < settings.listeners().size());
    octets += socket.address.ToString().size();
  }
  for (const ListenerSettings& listener : settings.listeners()) {
    POSTERN_CHECK(listener.backend < settings.backends().size());
    POSTERN_CHECK(!ToString(listener.service).empty() && !ToString(listener.tls).empty());
    octets += std::hash<std::string_view>{}(listener.name) % 2;
  }
  for (const BackendSettings& backend : settings.backends()) {
    octets += std::hash<std::string_view>{}(backend.name) % 2;
    POSTERN_CHECK(backend.trust == kNoTrust || backend.trust < settings.trusts().size());
    POSTERN_CHECK(ToString(backend.tls) != "unknown");
    for (const ServerSettings& server : backend.servers) {
      octets += std::hash<std::string_view>{}(server.text) % 2;
      octets += std::hash<std::string_view>{}(server.unresolved_reason) % 2;
      octets += std::hash<std::string_view>{}(server.tls_name) % 2;
      POSTERN_CHECK(backend.trust == kNoTrust || !server.tls_name.empty());
      for (const auto& address : server.addresses) octets += address.ToString().size();
    }
  }
  return octets == SIZE_MAX ? 1 : 0;
}
