// `postern check --sandbox`.
#pragma once

#include <string>

namespace postern::cli {

// CheckSandbox prints what holds of the workers' sandbox on this machine, for the configuration at
// `path` (without a file there, and unless it is `named` by the user, for the defaults). Returns
// the exit status: kOk when everything is in force and nothing forbidden works.
int CheckSandbox(const std::string& path, bool named);

}  // namespace postern::cli
