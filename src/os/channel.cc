// Channels: messages with descriptors between our own processes. SOCK_SEQPACKET keeps message
// bounds and tells when the other end is gone, which SOCK_DGRAM does not.
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/os/socket.h"

namespace postern::os {
namespace {

constexpr size_t kControlSpace = CMSG_SPACE(limits::kMaxPassedDescriptors * sizeof(int));

struct alignas(cmsghdr) ControlBuffer {
  std::array<std::byte, kControlSpace> bytes;
};

// Takes the descriptors out of a received message's control data.
std::vector<UniqueFd> TakeDescriptors(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> MakeChannel() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
    return FailErrno("cannot make a channel", errno);
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

ChannelOutcome SendMessage(int channel, Bytes bytes, const std::vector<int>& fds) {
  // An empty message could not be told from the end of the stream.
  POSTERN_CHECK(!bytes.empty() && bytes.size() <= limits::kMaxControlMessage);
  POSTERN_CHECK(fds.size() <= limits::kMaxPassedDescriptors);
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  ControlBuffer control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  }
  for (;;) {
    if (::sendmsg(channel, &header, MSG_NOSIGNAL) >= 0) return ChannelOutcome::kOk;
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
      case ENOBUFS:
      case ENOMEM:
      case ETOOMANYREFS:  // too many descriptors under way (unix(7)); the reader will take some
        return ChannelOutcome::kWouldBlock;
      case EPIPE:
      case ECONNRESET:
      case ENOTCONN:
        return ChannelOutcome::kClosed;
      default:
        POSTERN_CHECK(!"sendmsg on a channel failed in a way that only a bug of ours can cause");
    }
  }
}

ChannelOutcome ReceiveMessage(int channel, ChannelMessage& message) {
  message.fds.clear();
  message.bytes.resize(limits::kMaxControlMessage);
  iovec data{message.bytes.data(), message.bytes.size()};
  ControlBuffer control{};
  msghdr header{};
  ssize_t size = -1;
  for (;;) {
    header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.data();
    header.msg_controllen = control.bytes.size();
    size = ::recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    if (size >= 0) break;
    // ECONNRESET says once that the other end closed without reading everything; what it sent
    // before that (why it ended, perhaps) is still there to be read.
    if (errno == EINTR || errno == ECONNRESET) continue;
    message.bytes.clear();
    if (errno == EAGAIN || errno == ENOMEM) return ChannelOutcome::kWouldBlock;
    return ChannelOutcome::kClosed;
  }
  message.fds = TakeDescriptors(header);
  message.bytes.resize(static_cast<size_t>(size));
  // A message or descriptors that did not fit: nothing sound can follow. (Descriptors are cut off
  // when this process's table is full, too.)
  const bool cut = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  if (size > 0 && !cut) return ChannelOutcome::kOk;
  message.fds.clear();
  message.bytes.clear();
  return ChannelOutcome::kClosed;
}

}  // namespace postern::os
