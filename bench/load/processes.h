// One run: the processes that make the load, and what they counted together.
#pragma once

#include "bench/load/tally.h"
#include "postern/base/result.h"

namespace postern::bench {

// RunLoad starts the processes, shows progress on standard error (unless options.quiet), and
// returns their counts. SIGINT and SIGTERM end the measuring early, and what was counted is
// returned.
Result<Tally> RunLoad(const LoadOptions& options);

}  // namespace postern::bench
