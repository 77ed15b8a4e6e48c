// The control socket: one request per connection over a UNIX stream socket. The client sends a line
// ("reload\n"); the server answers with text and a last line "ok" or "error", then closes.
// Version 1, 2026-11-22; described in docs/processes.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::admin {

struct Reply {
  bool ok = false;
  std::string text;  // lines for the administrator, without the last "ok"/"error"
};

// Ask sends `request` to the server at `socket_path` and waits for its answer, at most
// `timeout_ms`. Errors: nobody serves there (with the remedy), no permission, no answer in time.
Result<Reply> Ask(const std::string& socket_path, std::string_view request, uint64_t timeout_ms);

}  // namespace postern::admin
