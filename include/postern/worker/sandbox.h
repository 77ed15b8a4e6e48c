// A worker's sandbox: what it gives up once it is set up, so that whoever breaks into it has
// little. docs/sandbox.md lists the measures and why each of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/os/capabilities.h"

namespace postern::worker {

struct SandboxOptions {
  config::SandboxMode mode = config::SandboxMode::kOn;
  uint32_t uid = 0;  // to become; the process's own when it is not root
  uint32_t gid = 0;
  // Move to an empty root directory. Servers behind UNIX sockets are then out of reach.
  bool empty_root = false;
};

// What may be lacking without being an error. Empty texts: it is in force.
struct SandboxGaps {
  std::string landlock;      // why there is no Landlock
  std::string landlock_old;  // what this kernel's Landlock does not have yet
};

// EmptyRootPossible says whether workers can live in an empty root directory, or why not: not as
// root, a server behind a UNIX socket (a path that has to lead somewhere), or the system forbids it
// (it is tried, in a process of its own). For a program without other threads.
Status EmptyRootPossible(const config::Config& config);

// EnterSandbox applies all of it to this process, for good, in the order that privileges allow.
// What the libraries read from files on first use is read before. Fails when a measure that every
// supported kernel has cannot be had: the process is then neither what it was nor confined, and
// must end. No other thread may run.
Result<SandboxGaps> EnterSandbox(const SandboxOptions& options);

// EnterSandboxUnfiltered is the same without the filter of system calls: for probing what holds
// without it.
Result<SandboxGaps> EnterSandboxUnfiltered(const SandboxOptions& options);

// Whether this build leaves out what the sanitizers' runtimes need: files, processes, signals.
bool SandboxIsRelaxed();

// The capabilities that the master keeps, for itself and for workers that start; everything else
// is dropped at its start. The reason for each is in docs/sandbox.md.
os::CapabilitySet MasterCapabilities();

}  // namespace postern::worker
