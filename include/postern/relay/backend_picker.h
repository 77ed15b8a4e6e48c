// BackendPicker: which server of a back end a connection tries, and in which order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "postern/os/socket_address.h"

namespace postern::relay {

// A server as the picker sees it; the addresses belong to the settings.
struct Candidate {
  std::string_view server;           // as the administrator wrote it
  const os::SocketAddress* address;  // borrowed from the settings
  std::string_view tls_name = {};    // ServerSettings::tls_name
};

// BackendPicker spreads connections over a back end's servers round robin. A server that just
// failed is tried last for kPenaltyMs, so that one dead server does not cost every client a connect
// timeout. What it knows is the worker's own and is kept across reloads, by address.
class BackendPicker {
 public:
  static constexpr uint64_t kPenaltyMs = 5'000;

  // Order sorts `candidates` for one connection to `backend`: rotated by one more than last time,
  // then those under penalty behind the others.
  void Order(std::string_view backend, std::vector<Candidate>& candidates, uint64_t now_ms);

  void Failed(const os::SocketAddress& address, uint64_t now_ms);
  void Succeeded(const os::SocketAddress& address);

 private:
  bool Penalized(const Candidate& candidate, uint64_t now_ms) const;

  std::map<std::string, uint64_t, std::less<>> turns_;   // by back end's name
  std::map<std::string, uint64_t, std::less<>> failed_;  // by address: when its penalty ends
};

}  // namespace postern::relay
