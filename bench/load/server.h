// `postern-bench server`: a back end that costs little, so that what stands before it is measured.
#pragma once

#include "bench/load/options.h"
#include "postern/base/result.h"

namespace postern::bench {

// RunServer serves until SIGTERM or SIGINT. Prints "listening HOST:PORT" once clients can connect.
Status RunServer(const ServerOptions& options);

}  // namespace postern::bench
