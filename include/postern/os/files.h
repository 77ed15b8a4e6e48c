// Whole files in and out.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::os {

// ReadFile reads a regular file of at most `max_size` octets.
Result<std::string> ReadFile(const std::string& path, size_t max_size = 16 * 1024 * 1024);

// WriteFileAtomically writes to a temporary name beside `path`, syncs, sets `mode`, and renames, so
// that a crash or a full disk leaves either the old file or the new one.
Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);

// MakeDirectories is mkdir -p; the last component gets `mode` when it is made.
Status MakeDirectories(const std::string& path, mode_t mode);

// OpenForAppend opens a log file (O_APPEND, created 0640, close-on-exec).
Result<UniqueFd> OpenForAppend(const std::string& path);

}  // namespace postern::os
