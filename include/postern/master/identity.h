// Which user the workers become.
#pragma once

#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/os/process.h"

namespace postern::master {

// WorkerIdentity is [process] user and group; without them "postern" if there is such a user, else
// "nobody". A master that is not root can but keep its own, and refuses what asks for another.
Result<os::Identity> WorkerIdentity(const config::Process& process);

}  // namespace postern::master
