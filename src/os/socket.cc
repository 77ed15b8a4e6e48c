// Sockets of the network and of the control socket. Channels between our processes are in
// channel.cc.
#include "postern/os/socket.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace postern::os {
namespace {

Status SetOption(int fd, int level, int name, int value, const char* what) {
  if (::setsockopt(fd, level, name, &value, sizeof value) == 0) return {};
  return FailErrno(fmt::format("cannot set {}", what), errno);
}

std::string BindRemedy(int error_number, const SocketAddress& address) {
  switch (error_number) {
    case EACCES:
      return fmt::format(
          "ports below {} need root or CAP_NET_BIND_SERVICE: start as root or choose a higher port",
          1024);
    case EADDRINUSE:
      return fmt::format("find who has it with: ss -ltnp 'sport = :{}'", address.port());
    case EADDRNOTAVAIL:
      return "no interface of this machine has that address: see `ip address`";
    default:
      return {};
  }
}

Status SetListenerOptions(int fd, const SocketAddress& address, const ListenerOptions& options) {
  struct Option {
    int level;
    int name;
    const char* what;
  };
  constexpr Option kOptions[] = {
      {SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"},
      {SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"},
      {SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE"},
      {IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"},
  };
  for (const Option& option : kOptions) {
    if (Status set = SetOption(fd, option.level, option.name, 1, option.what); !set) return set;
  }
  if (address.family() != AF_INET6) return {};
  return SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0, "IPV6_V6ONLY");
}

// Whether somebody answers on the socket file at `address`.
bool Served(const SocketAddress& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return false;
  if (::connect(probe.get(), address.get(), address.size()) == 0) return true;
  return errno == EAGAIN;  // its queue is full, so it is somebody's
}

Result<SocketAddress> UnixAddress(const std::string& path) {
  if (const auto address = SocketAddress::FromUnixPath(path)) return *address;
  return Fail(fmt::format("\"{}\" cannot be a socket's path: 1 to 106 octets are allowed", path),
              "choose a shorter path");
}

}  // namespace

Result<UniqueFd> MakeListener(const SocketAddress& address, const ListenerOptions& options) {
  const std::string what = "cannot listen on " + address.ToString();
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    const bool no_v6 = errno == EAFNOSUPPORT && address.family() == AF_INET6;
    return FailErrno(
        what, errno,
        no_v6 ? "this machine has no IPv6: listen on IPv4 addresses (\"0.0.0.0\")" : "");
  }
  if (Status set = SetListenerOptions(fd.get(), address, options); !set) {
    return Fail(what + ": " + set.error().what);
  }
  if (::bind(fd.get(), address.get(), address.size()) != 0) {
    const int error_number = errno;
    return FailErrno(what, error_number, BindRemedy(error_number, address));
  }
  if (!options.listen) return fd;
  if (Status begun = StartListening(fd.get(), address, options.backlog); !begun) {
    return std::unexpected(begun.error());
  }
  return fd;
}

Status StartListening(int fd, const SocketAddress& address, int backlog) {
  if (::listen(fd, backlog) == 0) return {};
  const int error_number = errno;
  return FailErrno("cannot listen on " + address.ToString(), error_number,
                   BindRemedy(error_number, address));
}

Result<UniqueFd> MakeStream(int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FailErrno("cannot make a socket", errno);
  if (family == AF_UNIX) return fd;
  if (Status set = SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set) {
    return std::unexpected(set.error());
  }
  if (Status set = SetOption(fd.get(), SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"); !set) {
    return std::unexpected(set.error());
  }
  return fd;
}

SocketAddress PeerAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (::getpeername(fd, address, &size) != 0) return {};
  return {address, size};
}

SocketAddress LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (::getsockname(fd, address, &size) != 0) return {};
  return {address, size};
}

// The socket is bound under a name beside `path`, given its mode, and only then renamed into place
// and thereby reachable: nobody can connect while it still has the mode that the umask gave it,
// and a stale file is replaced without a moment in which there is none.
Result<UniqueFd> MakeUnixListener(const std::string& path, mode_t mode) {
  const Result<SocketAddress> final_address = UnixAddress(path);
  if (!final_address) return std::unexpected(final_address.error());
  const std::string temporary = path + "~";
  const Result<SocketAddress> bind_address = UnixAddress(temporary);
  if (!bind_address) return std::unexpected(bind_address.error());

  const std::string what = "cannot make the socket " + path;
  struct stat found {};
  if (::lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return Fail(what + ": a file that is no socket stands there", "remove it or choose a path");
    }
    if (Served(*final_address)) {
      return Fail(what + ": another process serves it",
                  "stop the other one first, or choose another path");
    }
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FailErrno(what, errno);
  ::unlink(temporary.c_str());
  if (::bind(fd.get(), bind_address->get(), bind_address->size()) != 0) {
    const int error_number = errno;
    return FailErrno(what, error_number,
                     error_number == ENOENT ? "make its directory" : std::string());
  }
  if (::chmod(temporary.c_str(), mode) != 0 || ::listen(fd.get(), 64) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary.c_str());
    return FailErrno(what, error_number);
  }
  return fd;
}

Result<UniqueFd> ConnectUnix(const std::string& path) {
  const Result<SocketAddress> address = UnixAddress(path);
  if (!address) return std::unexpected(address.error());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FailErrno("cannot make a socket", errno);
  if (::connect(fd.get(), address->get(), address->size()) == 0) return fd;
  const int error_number = errno;
  std::string remedy;
  if (error_number == ENOENT || error_number == ECONNREFUSED) {
    remedy = "nobody serves there: is it running, and is this its socket?";
  } else if (error_number == EACCES || error_number == EPERM) {
    remedy = "ask as root or as the user who started it";
  }
  return FailErrno("cannot connect to " + path, error_number, remedy);
}

}  // namespace postern::os
