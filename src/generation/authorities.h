// The authorities that listeners and back ends name.
#pragma once

#include <vector>

#include "generation/settings_image.h"
#include "generation/sources.h"
#include "postern/config/config.h"

namespace postern::generation {

// ReadAuthorities reads what listeners name for their clients and back ends for their servers, each
// set of files once. For a set that cannot be read there is a fault, and what `previous` (may be
// null), made from the same configuration, has of it.
ReadTrust ReadAuthorities(const config::Config& config, const Sources* previous,
                          std::vector<Error>& faults, std::vector<Error>& warnings);

}  // namespace postern::generation
