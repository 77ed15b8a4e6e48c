// The authorities that listeners and back ends name.
#pragma once

#include <vector>

#include "generation/settings_image.h"
#include "postern/config/config.h"

namespace postern::generation {

// ReadAuthorities reads what listeners name for their clients and back ends for their servers, each
// set of files once.
ReadTrust ReadAuthorities(const config::Config& config, std::vector<Error>& faults,
                          std::vector<Error>& warnings);

}  // namespace postern::generation
