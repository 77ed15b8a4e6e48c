// The local syslog daemon, spoken to over its datagram socket. Not syslog(3): workers have no file
// access to connect with, so the master connects and hands the descriptor over.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "postern/base/log.h"
#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::os {

// ConnectSyslog gives a connected, non-blocking datagram socket.
Result<UniqueFd> ConnectSyslog(const std::string& path = "/dev/log");

// SyslogMessage is one datagram: RFC 3164 section 4.1 as the local daemons take it (no host name),
// facility mail, tag "postern[pid]". A line's last '\n' is left out.
std::string SyslogMessage(LogLevel level, pid_t pid, std::string_view line);

}  // namespace postern::os
