// A channel with a queue. Order is kept: while something waits, everything goes through the queue.
#include "master/worker_channel.h"

#include <fcntl.h>

#include <utility>

#include "postern/base/limits.h"

namespace postern::master {
namespace {

std::vector<int> Numbers(const std::vector<os::UniqueFd>& fds) {
  std::vector<int> numbers;
  for (const os::UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace

bool WorkerChannel::Send(worker::Message message, const std::vector<int>& fds) {
  if (queue_.empty()) {
    const os::ChannelOutcome outcome = worker::Send(fd_.get(), message, fds);
    if (outcome != os::ChannelOutcome::kWouldBlock) return outcome == os::ChannelOutcome::kOk;
  }
  if (queue_.size() >= limits::kMaxQueuedMessages) return false;
  for (const int fd : fds) {
    os::UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) return false;
    message.fds.push_back(std::move(copy));
  }
  queue_.push_back(std::move(message));
  return true;
}

bool WorkerChannel::Flush() {
  while (!queue_.empty()) {
    const worker::Message& message = queue_.front();
    const os::ChannelOutcome outcome = worker::Send(fd_.get(), message, Numbers(message.fds));
    if (outcome == os::ChannelOutcome::kWouldBlock) return true;
    if (outcome == os::ChannelOutcome::kClosed) return false;
    queue_.pop_front();
  }
  return true;
}

os::ChannelOutcome WorkerChannel::Receive(worker::Message& message) {
  return worker::Receive(fd_.get(), message);
}

}  // namespace postern::master
