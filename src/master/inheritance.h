// Inheritance: what a starting master is given by whoever was there before it: by the master whose
// place it takes in an upgrade, or by a service manager that passes sockets (socket activation).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "master/handover_channel.h"
#include "master/listeners.h"
#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::master {

// The channel's descriptor in the new process, and the variable that says so there.
inline constexpr int kHandoverFd = 3;
inline constexpr const char* kHandoverVariable = "POSTERN_UPGRADE_FD";

struct Inheritance {
  struct File {
    std::string path;
    os::UniqueFd fd;  // invalid: there is none
  };
  struct Elder {
    pid_t pid = 0;
    os::UniqueFd channel;
  };

  std::vector<InheritedSocket> sockets;
  // In an upgrade alone:
  HandoverChannel predecessor;
  pid_t predecessor_pid = 0;
  os::UniqueFd ticket_keys;
  uint64_t tickets_rotated_ms = 0;
  os::UniqueFd session_ids;
  File pid_file;  // locked
  File control;   // listening
  std::vector<Elder> elders;

  // Refuse tells the predecessor, if there is one, that this process will not serve.
  void Refuse(const std::vector<Error>& faults);
};

// TakeHandoverFd takes kHandoverVariable out of the environment; nothing when this process is not
// to take the place of another.
std::optional<os::UniqueFd> TakeHandoverFd();

// ReceiveInheritance says that this process is there and takes what the other end sends, up to its
// end; it waits. A failure is told to the other end, too.
Result<Inheritance> ReceiveInheritance(os::UniqueFd channel);

// FromServiceManager takes the sockets that a service manager passes, if any.
Inheritance FromServiceManager();

}  // namespace postern::master
