// A refused client may be in the middle of a request. Octets that come to a closed socket are
// answered with a reset, at which the client's system may throw away what we have said; and who
// sends in two pieces fails at the second one, before he has read anything. So what comes is read
// away for a moment.
//
// Looked at now and then, not by the ring: for that each would need operations whose memory
// outlives it, and there are few of them, for a short time. When there are too many the oldest
// goes.
//
// (sendmsg and recvmsg, because a worker uses them already for its channel and may not much else.)
#include "partings.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <utility>

#include "postern/base/limits.h"

namespace postern::worker {
namespace {

constexpr uint64_t kLastMs = 2'000;
constexpr uint64_t kLookEveryMs = 20;

// Whether the client may still send something.
bool ReadAway(const os::UniqueFd& fd) {
  std::array<char, 4096> unread;
  iovec piece{unread.data(), unread.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  for (int i = 0; i < 4; ++i) {
    const ssize_t got = ::recvmsg(fd.get(), &message, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
  }
  return true;
}

}  // namespace

Partings::Partings(ring::TimerWheel& timers, const uint64_t& now_ms)
    : timers_(timers),
      now_ms_(now_ms),
      timer_(this, [](void* self) { static_cast<Partings*>(self)->Look(); }) {}

void Partings::Say(os::UniqueFd fd, std::string_view words) {
  if (words.empty()) return;
  iovec piece{const_cast<char*>(words.data()), words.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (::sendmsg(fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
  ::shutdown(fd.get(), SHUT_WR);
  if (!ReadAway(fd)) return;
  if (partings_.size() >= limits::kMaxPartings) partings_.pop_front();
  partings_.push_back({std::move(fd), now_ms_ + kLastMs});
  if (!timer_.armed()) timers_.Arm(timer_, now_ms_ + kLookEveryMs);
}

void Partings::Look() {
  std::erase_if(partings_, [this](const Parting& parting) {
    return now_ms_ >= parting.ends_ms || !ReadAway(parting.fd);
  });
  if (!partings_.empty()) timers_.Arm(timer_, now_ms_ + kLookEveryMs);
}

}  // namespace postern::worker
