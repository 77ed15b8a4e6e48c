// Syslog datagrams. The time is given in local time, since RFC 3164 knows no zone and the daemons
// expect it so.
#include "postern/os/syslog.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "postern/os/clock.h"
#include "postern/os/socket_address.h"

namespace postern::os {
namespace {

constexpr int kFacilityMail = 2 << 3;

int Severity(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 7;
    case LogLevel::kInfo:
      return 6;
    case LogLevel::kNotice:
      return 5;
    case LogLevel::kWarning:
      return 4;
    case LogLevel::kError:
      return 3;
  }
  return 6;
}

}  // namespace

Result<UniqueFd> ConnectSyslog(const std::string& path) {
  const std::string what = "cannot reach the syslog daemon at " + path;
  const auto address = SocketAddress::FromUnixPath(path);
  if (!address) return Fail(what + ": the path is too long");
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FailErrno(what, errno);
  if (::connect(fd.get(), address->get(), address->size()) != 0) {
    return FailErrno(what, errno, "start one, or set [log] destination to \"stderr\" or a file");
  }
  return fd;
}

std::string SyslogMessage(LogLevel level, pid_t pid, std::string_view line) {
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t now = WallSeconds();
  std::tm parts{};
  ::localtime_r(&now, &parts);
  if (line.ends_with('\n')) line.remove_suffix(1);
  return fmt::format("<{}>{} {:2} {:02}:{:02}:{:02} postern[{}]: {}",
                     kFacilityMail | Severity(level), kMonths[parts.tm_mon], parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec, pid, line);
}

}  // namespace postern::os
