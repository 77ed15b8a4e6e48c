// The control socket: one request per connection over a UNIX stream socket. The client sends a line
// ("reload\n"); the server answers with text and a last line "ok" or "error", then closes.
// Version 1, 2026-11-22; described in docs/processes.md.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

// One request as it reaches the server, with who sent it (from the kernel, not from the sender).
struct Request {
  uint64_t client = 0;  // to answer by; never used twice
  std::string line;     // without its end of line
  pid_t pid = 0;
  uid_t uid = 0;
};

// ControlServer is the serving side, driven by its owner's poll loop. It never blocks: a client
// that sends or reads slowly costs one of limits::kMaxControlClients places until its time is up
// (limits::kControlTimeoutMs), and nothing else.
class ControlServer {
 public:
  using Handler = std::function<void(const Request& request)>;

  // Makes the socket file (mode 0600), which is removed when the server is destroyed. `handler` is
  // called from Run, once per client, and answers with Answer, at once or whenever it can.
  static Result<std::unique_ptr<ControlServer>> Open(const std::string& path, Handler handler);
  // Adopt serves on a listening socket that another process made for `path`, and takes over the
  // file with it. Who waits in its queue is served.
  static std::unique_ptr<ControlServer> Adopt(const std::string& path, os::UniqueFd listener,
                                              Handler handler);
  // Removes the socket's file, unless that was left to another process.
  virtual ~ControlServer() = default;

  // The listening socket, to pass on; -1 after HandOver.
  virtual int listener() const = 0;
  // HandOver leaves the socket and its file to the process that adopts them. Who is being served
  // still gets an answer.
  virtual void HandOver() = 0;

  // Answer sends `reply` to `client`; nothing happens when that client has gone meanwhile.
  virtual void Answer(uint64_t client, const Reply& reply) = 0;

  // AddPollFds appends what the owner's poll has to watch. Whatever of it is ready, or when
  // NextDeadlineMs has passed, the owner calls Run.
  virtual void AddPollFds(std::vector<pollfd>& fds) const = 0;
  virtual std::optional<uint64_t> NextDeadlineMs() const = 0;  // of os::MonotonicMs
  virtual void Run(uint64_t now_ms) = 0;

  // Flush writes what is still owed to clients, at most until `deadline_ms`: the owner is about to
  // end. Blocks that long.
  virtual void Flush(uint64_t deadline_ms) = 0;
};

}  // namespace postern::admin
