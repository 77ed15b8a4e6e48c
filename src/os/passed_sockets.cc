// The protocol is three variables and descriptors from 3 on, documented as stable; libsystemd would
// bring much more than that (src/os/service_manager.cc).
#include "postern/os/passed_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "postern/base/log.h"
#include "postern/os/socket.h"

namespace postern::os {
namespace {

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START
// More than any configuration has addresses; a number that is not meant keeps nobody busy.
constexpr int kMostFds = 65'536;

std::string TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

int Number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

int Option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : 0;
}

// "a:b:c", one name for each descriptor.
std::string NextName(std::string_view& names) {
  const size_t end = std::min(names.find(':'), names.size());
  std::string name(names.substr(0, end));
  names.remove_prefix(std::min(end + 1, names.size()));
  return name;
}

}  // namespace

Result<PassedSocket> ExaminePassed(UniqueFd fd) {
  const int number = fd.get();
  PassedSocket socket;
  socket.address = LocalAddress(number);
  if (Option(number, SOL_SOCKET, SO_ACCEPTCONN) == 0 ||
      Option(number, SOL_SOCKET, SO_TYPE) != SOCK_STREAM || !socket.address.is_ip()) {
    return Fail(fmt::format("descriptor {} is no listening TCP socket", number));
  }
  socket.v6_only = socket.address.family() == AF_INET || Option(number, IPPROTO_IPV6, IPV6_V6ONLY);
  socket.reuse_port = Option(number, SOL_SOCKET, SO_REUSEPORT) != 0;
  // Inherited by what is accepted.
  const int on = 1;
  const int flags = ::fcntl(number, F_GETFL);
  if (::setsockopt(number, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
      ::setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 || flags < 0 ||
      ::fcntl(number, F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) {
    return FailErrno(fmt::format("cannot set up the socket for {}", socket.address.ToString()),
                     errno);
  }
  socket.fd = std::move(fd);
  return socket;
}

std::vector<PassedSocket> TakePassedSockets() {
  const int pid = Number(TakeVariable("LISTEN_PID"));
  const int count = Number(TakeVariable("LISTEN_FDS"));
  const std::string all_names = TakeVariable("LISTEN_FDNAMES");
  std::vector<PassedSocket> sockets;
  if (pid != ::getpid() || count <= 0 || count > kMostFds) return sockets;
  std::string_view names = all_names;
  for (int number = kFirstFd; number < kFirstFd + count; ++number) {
    std::string name = NextName(names);
    Result<PassedSocket> socket = ExaminePassed(UniqueFd(number));
    if (!socket) {
      LogLine(LogLevel::kWarning, "passed socket not used")
          .Field("name", name)
          .Field("reason", socket.error().ToString());
      continue;
    }
    socket->name = std::move(name);
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

}  // namespace postern::os
