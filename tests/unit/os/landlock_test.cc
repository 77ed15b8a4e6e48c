#include "postern/os/landlock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "postern/os/process.h"
#include "postern/os/socket.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/in_child.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {
namespace {

int BindError() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  return ErrnoOf(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

}  // namespace

TEST_CASE("landlock: files are out of reach, UNIX sockets by their path are not") {
  const TemporaryDirectory directory;
  const auto listener = MakeUnixListener(directory / "socket", 0600);
  REQUIRE(listener);
  const pid_t parent = ::getpid();
  const int outcome = InChild([&] {
    if (!NoNewPrivileges()) return 1;
    const auto limits = RestrictByLandlock();
    if (!limits) return 77;  // a kernel without it
    if (!limits->files || limits->version < 1) return 2;
    if (::open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES) return 3;
    if (::open((directory / "made").c_str(), O_RDWR | O_CREAT, 0600) >= 0) return 4;
    if (::unlink((directory / "socket").c_str()) == 0) return 5;
    if (!ConnectUnix(directory / "socket")) return 6;
    if (limits->bind && BindError() != EACCES) return 7;
    if (limits->scoped && ::kill(parent, 0) == 0) return 8;
    return 0;
  });
  CHECK((outcome == 0 || outcome == 77));
}

TEST_CASE("landlock: an unprivileged process has to give up new privileges first") {
  CHECK(InChild([] {
          if (::geteuid() == 0 && ::setuid(65534) != 0) return 1;
          return RestrictByLandlock() ? 2 : 0;
        }) == 0);
}

}  // namespace postern::os
