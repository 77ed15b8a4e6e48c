// What no single table can tell: addresses taken twice, back ends that lead back to Postern,
// timeouts against the RFCs.
#pragma once

#include "postern/config/config.h"
#include "reporter.h"

namespace postern::config {

void CheckWhole(const Config& config, Reporter& reporter);
// Whether back ends that are asked for STARTTLS can be, by the services that use them.
void CheckBackendStartTls(const Config& config, Reporter& reporter);
void CheckIdentification(const Config& config, Reporter& reporter);

}  // namespace postern::config
