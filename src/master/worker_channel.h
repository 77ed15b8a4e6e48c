// WorkerChannel: the master's end of the channel to one worker. It never blocks: what the channel
// does not take at once waits in a bounded queue.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "postern/os/unique_fd.h"
#include "postern/worker/protocol.h"

namespace postern::master {

class WorkerChannel {
 public:
  explicit WorkerChannel(os::UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  bool wants_write() const { return !queue_.empty(); }

  // Send sends or queues `message` with `fds`, which stay the caller's (they are duplicated while
  // they wait). False when the worker's end is closed or it lets too many messages wait: it is
  // beyond help then.
  [[nodiscard]] bool Send(worker::Message message, const std::vector<int>& fds = {});
  // Flush sends of the queue what can be sent; false as above.
  [[nodiscard]] bool Flush();
  os::ChannelOutcome Receive(worker::Message& message);

 private:
  os::UniqueFd fd_;
  std::deque<worker::Message> queue_;  // their `fds` are ours
};

}  // namespace postern::master
