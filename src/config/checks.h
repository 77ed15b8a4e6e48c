// What no single table can tell: addresses taken twice, back ends that lead back to Postern,
// timeouts against the RFCs.
#pragma once

#include "postern/config/config.h"
#include "reporter.h"

namespace postern::config {

void CheckWhole(const Config& config, Reporter& reporter);

}  // namespace postern::config
