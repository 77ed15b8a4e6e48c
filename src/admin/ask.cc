// The asking side of the control socket, for the command line.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "postern/admin/control.h"
#include "postern/base/limits.h"
#include "postern/os/clock.h"
#include "postern/os/socket.h"

namespace postern::admin {
namespace {

std::unexpected<Error> NoAnswer(const std::string& path, uint64_t timeout_ms) {
  return Fail(fmt::format("no answer on {} within {} s", path, (timeout_ms + 999) / 1000),
              "see the log of the process that serves it");
}

// Waits for `events` on `fd`; false when `deadline` has passed.
bool WaitFor(int fd, short events, uint64_t deadline) {
  for (;;) {
    const uint64_t now = os::MonotonicMs();
    if (now >= deadline) return false;
    pollfd waiting{fd, events, 0};
    const uint64_t rest = std::min<uint64_t>(deadline - now, 60'000);
    const int ready = ::poll(&waiting, 1, static_cast<int>(rest));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// The last line of an answer is the verdict; without one the server ended in the middle.
Result<Reply> Judge(const std::string& answer, const std::string& path) {
  for (const bool ok : {true, false}) {
    const std::string_view verdict = ok ? "ok\n" : "error\n";
    if (!answer.ends_with(verdict)) continue;
    const std::string_view text =
        std::string_view(answer).substr(0, answer.size() - verdict.size());
    if (text.empty() || text.ends_with('\n')) return Reply{ok, std::string(text)};
  }
  return Fail(fmt::format("the process that serves {} ended before it had answered", path),
              "see its log");
}

}  // namespace

Result<Reply> Ask(const std::string& socket_path, std::string_view request, uint64_t timeout_ms) {
  const uint64_t deadline = os::MonotonicMs() + timeout_ms;
  const Result<os::UniqueFd> fd = os::ConnectUnix(socket_path);
  if (!fd) return std::unexpected(fd.error());

  const std::string line = std::string(request) + "\n";
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t sent = ::send(fd->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!WaitFor(fd->get(), POLLOUT, deadline)) return NoAnswer(socket_path, timeout_ms);
    } else if (errno == EPIPE) {
      break;  // it has answered without reading on: the reason is there to be read
    } else if (errno != EINTR) {
      return FailErrno("cannot ask on " + socket_path, errno);
    }
  }

  std::string answer;
  char buffer[16 * 1024];
  for (;;) {
    if (!WaitFor(fd->get(), POLLIN, deadline)) return NoAnswer(socket_path, timeout_ms);
    const ssize_t got = ::recv(fd->get(), buffer, sizeof buffer, 0);
    // A reset means that the server closed without reading all we sent; its answer came before.
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return Judge(answer, socket_path);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return FailErrno("cannot read the answer on " + socket_path, errno);
    answer.append(buffer, static_cast<size_t>(got));
    if (answer.size() > limits::kMaxControlReply) {
      return Fail(
          fmt::format("the answer on {} is longer than any that Postern gives", socket_path),
          "is that Postern's control socket?");
    }
  }
}

}  // namespace postern::admin
