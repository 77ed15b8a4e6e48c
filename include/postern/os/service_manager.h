// ServiceManager: what the master tells systemd (or whoever speaks its notification protocol,
// sd_notify(3)) about itself: it serves, it reloads, it ends, it is alive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/os/unique_fd.h"

namespace postern::os {

class ServiceManager {
 public:
  // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no worker
  // inherits them. Without a (usable) NOTIFY_SOCKET nobody listens, and Notify does nothing.
  static ServiceManager FromEnvironment();

  // Notify sends `state`, lines of "VARIABLE=value"; never waits. A message that the manager has no
  // room for is lost: each state is told again with the next change.
  void Notify(std::string_view state) const;

  // What FromEnvironment has to find in the environment of the process that takes our place.
  std::vector<std::string> Variables() const;

  bool listens() const { return fd_.valid(); }
  // How often the manager wants to hear WATCHDOG=1 at the latest, halved as systemd asks for;
  // nothing: it does not watch this process.
  std::optional<uint64_t> watchdog_ms() const { return watchdog_ms_; }

 private:
  UniqueFd fd_;
  std::string address_;  // as sockaddr_un has it: an abstract one begins with NUL
  std::optional<uint64_t> watchdog_ms_;
};

}  // namespace postern::os
