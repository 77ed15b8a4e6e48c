// RunMaster is the master process's whole life: configuration, certificates, listeners, workers,
// signals, reloads.
#pragma once

#include <string>

#include "postern/base/result.h"

namespace postern::master {

// Serves the configuration in the file `config_path` until a signal or a control command ends it.
// Returns the exit status: 0 after an orderly end, 1 when the start was refused (every fault is on
// standard error, then).
int RunMaster(const std::string& config_path);

}  // namespace postern::master
