// The authorities of clients that listeners name.
#pragma once

#include <vector>

#include "generation/settings_image.h"
#include "postern/config/config.h"

namespace postern::generation {

// ReadClientTrust reads what listeners name, each set of files once.
ReadTrust ReadClientTrust(const config::Config& config, std::vector<Error>& faults,
                          std::vector<Error>& warnings);

}  // namespace postern::generation
