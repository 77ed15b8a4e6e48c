// Who may come, how often, and how many of them: what [limits] and a listener say about clients.
#pragma once

#include <cstdint>
#include <vector>

#include "postern/os/network.h"

namespace postern::config {

// Of each client address, or /64 of IPv6, over all workers and listeners. 0: no limit.
struct AddressLimits {
  uint32_t connections = 0;
  uint32_t connections_per_second = 0;
  uint32_t burst = 0;  // so many may come at once; never 0 with connections_per_second
  // Failed handshakes, refused dialogs and failed logins: so many within the window bring a pause.
  uint32_t failures = 0;
  uint64_t failure_window_ms = 600'000;
  uint64_t penalty_ms = 10'000;          // the first pause; each further one is twice as long
  uint64_t penalty_max_ms = 3'600'000;   // up to this
  std::vector<os::Network> exempt = {};  // networks that none of these hold for
};

// Of one listener.
struct ListenerAccess {
  uint32_t connections = 0;              // over all workers; 0: no limit
  uint32_t connections_per_address = 0;  // likewise, and beside that of AddressLimits
  // `deny` is looked at first. With an empty `allow` everybody else is let in, else who is in it.
  std::vector<os::Network> allow = {};
  std::vector<os::Network> deny = {};
};

}  // namespace postern::config
