// What of a worker's sandbox holds on this kernel, found by entering it and trying to break out.
#pragma once

#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/worker/sandbox.h"

namespace postern::worker {

struct SandboxMeasure {
  std::string name;
  bool in_force = false;
  std::string detail;  // what it amounts to, or why not and how to get it; may be empty
};

// Something that no worker may do.
struct SandboxAttempt {
  std::string what;
  bool stopped = false;
  std::string outcome;  // "killed", "refused: ...", "it worked"
};

struct SandboxFindings {
  std::vector<SandboxMeasure> measures;
  std::vector<SandboxAttempt> attempts;
  bool all_good() const;
};

// ProbeSandbox starts processes that enter the sandbox as a worker would, looks at them from
// outside
// (/proc), and lets each try one thing that is forbidden. The calling process stays as it is; it
// may have no other threads. `no_empty_root` is EmptyRootPossible's reason. Fails when the sandbox
// cannot be entered at all: a worker would not start.
Result<SandboxFindings> ProbeSandbox(const SandboxOptions& options, const Status& no_empty_root);

}  // namespace postern::worker
