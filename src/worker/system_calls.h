// The system calls of a worker that serves.
#pragma once

#include <vector>

#include "postern/os/system_call_filter.h"

namespace postern::worker {

struct CallRuleOptions {
  // Whether a server may be behind a UNIX socket.
  bool unix_sockets = false;
};

// SystemCallRules is what a worker is let do and what ends it, for the process that asks. The list
// is explained, call by call, in docs/sandbox.md, and a test compares the two.
std::vector<os::CallRule> SystemCallRules(const CallRuleOptions& options);

}  // namespace postern::worker
