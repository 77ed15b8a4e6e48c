// HandoverChannel: one end of the channel between a master and its successor. It never blocks: what
// the channel does not take at once waits in a queue, whose length is bounded by what there is to
// inherit.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "master/handover_message.h"
#include "postern/os/socket.h"
#include "postern/os/unique_fd.h"

namespace postern::master {

class HandoverChannel {
 public:
  HandoverChannel() = default;  // closed
  explicit HandoverChannel(os::UniqueFd fd) : fd_(std::move(fd)) {}

  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  void Close();

  // Send sends or queues `message` with `fds`, which stay the caller's. Nothing happens when the
  // other end is gone; Receive will say so.
  void Send(const HandoverMessage& message, const std::vector<int>& fds = {});
  void Send(HandoverType type, uint64_t number = 0);
  bool wants_write() const { return !queue_.empty(); }
  // Flush sends of the queue what can be sent.
  void Flush();
  // AddPollFd appends what to wait for, when it is open.
  void AddPollFd(std::vector<pollfd>& fds) const;

  enum class Outcome : uint8_t { kMessage, kNothing, kOtherVersion, kClosed };
  // Receive takes the next message; types of other versions are passed over. After kClosed, which a
  // malformed message counts as, too, the channel is closed.
  Outcome Receive(HandoverMessage& message);

 private:
  struct Waiting {
    std::vector<std::byte> octets;
    std::vector<os::UniqueFd> fds;
  };

  os::UniqueFd fd_;
  std::deque<Waiting> queue_;
};

}  // namespace postern::master
