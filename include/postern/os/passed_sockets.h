// Listening sockets that were made by somebody else: a service manager that had them before this
// program ran (socket activation, sd_listen_fds(3)), or the process whose place this one takes.
#pragma once

#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"

namespace postern::os {

struct PassedSocket {
  UniqueFd fd;
  SocketAddress address;    // what it is bound to
  bool v6_only = true;      // true for IPv4, too
  bool reuse_port = false;  // others of the same user may be bound beside it
  std::string name;         // the manager's word for it ($LISTEN_FDNAMES), for messages
};

// ExaminePassed finds out what `fd` is and sets the options that MakeListener sets, non-blocking
// and close-on-exec too. Fails unless it is a listening TCP socket.
Result<PassedSocket> ExaminePassed(UniqueFd fd);

// TakePassedSockets takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment, so that
// no child finds them, and returns the sockets that they are about, when they are meant for this
// process. What is no listening TCP socket is closed, with a line in the log.
std::vector<PassedSocket> TakePassedSockets();

}  // namespace postern::os
