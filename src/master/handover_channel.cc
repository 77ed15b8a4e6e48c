// A channel with a queue, as WorkerChannel, for messages between different programs.
#include "master/handover_channel.h"

#include <fcntl.h>

namespace postern::master {

void HandoverChannel::Close() {
  queue_.clear();
  fd_.Reset();
}

void HandoverChannel::Send(const HandoverMessage& message, const std::vector<int>& fds) {
  if (!open()) return;
  Waiting waiting{Encode(message), {}};
  // Duplicates, so that the queue holds what its owner closes meanwhile.
  for (const int fd : fds) {
    waiting.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!waiting.fds.back().valid()) return Close();  // the other side must not get half of it
  }
  queue_.push_back(std::move(waiting));
  Flush();
}

void HandoverChannel::Send(HandoverType type, uint64_t number) {
  HandoverMessage message;
  message.type = type;
  message.number = number;
  Send(message);
}

void HandoverChannel::Flush() {
  while (open() && !queue_.empty()) {
    const Waiting& waiting = queue_.front();
    std::vector<int> numbers;
    for (const os::UniqueFd& fd : waiting.fds) numbers.push_back(fd.get());
    const os::ChannelOutcome outcome = os::SendMessage(fd_.get(), waiting.octets, numbers);
    if (outcome == os::ChannelOutcome::kWouldBlock) return;
    if (outcome == os::ChannelOutcome::kClosed)
      queue_.clear();  // its last words are to be read yet
    if (outcome == os::ChannelOutcome::kOk) queue_.pop_front();
  }
}

void HandoverChannel::AddPollFd(std::vector<pollfd>& fds) const {
  if (!open()) return;
  fds.push_back({fd_.get(), static_cast<short>(POLLIN | (queue_.empty() ? 0 : POLLOUT)), 0});
}

HandoverChannel::Outcome HandoverChannel::Receive(HandoverMessage& message) {
  while (open()) {
    os::ChannelMessage raw;
    switch (os::ReceiveMessage(fd_.get(), raw)) {
      case os::ChannelOutcome::kWouldBlock:
        return Outcome::kNothing;
      case os::ChannelOutcome::kClosed:
        Close();
        return Outcome::kClosed;
      case os::ChannelOutcome::kOk:
        break;
    }
    switch (Decode(raw.bytes, message)) {
      case HandoverDecode::kGood:
        message.fds = std::move(raw.fds);
        return Outcome::kMessage;
      case HandoverDecode::kUnknown:
        break;
      case HandoverDecode::kOtherVersion:
        return Outcome::kOtherVersion;
      case HandoverDecode::kMalformed:
        Close();
        return Outcome::kClosed;
    }
  }
  return Outcome::kClosed;
}

}  // namespace postern::master
