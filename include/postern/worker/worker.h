// RunWorker is a worker process's whole life.
#pragma once

namespace postern::worker {

// Takes its orders from `channel` (worker/protocol.h), serves until told to stop or until the
// master is gone, and returns the process's exit status: 0 after kDrain, kQuit or the master's
// death, 1 when it could not start (the reason is on descriptor 2 and in the log).
int RunWorker(int channel);

}  // namespace postern::worker
