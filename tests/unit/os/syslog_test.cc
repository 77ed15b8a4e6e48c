#include "postern/os/syslog.h"

#include <sys/socket.h>

#include <regex>

#include "postern/os/socket_address.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {

TEST_CASE("syslog: a message has priority, time, tag and text") {
  const std::string message = SyslogMessage(LogLevel::kError, 42, "event=x\n");
  CHECK(std::regex_match(
      message, std::regex(R"(<19>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d postern\[42\]: event=x)")));
  CHECK(SyslogMessage(LogLevel::kDebug, 1, "").starts_with("<23>"));
}

TEST_CASE("syslog: messages reach the daemon's socket; without one the error tells") {
  const TemporaryDirectory directory;
  const std::string path = directory / "log";
  const auto none = ConnectSyslog(path);
  REQUIRE_FALSE(none);
  CHECK(none.error().what.find(path) != std::string::npos);

  const UniqueFd daemon(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto address = *SocketAddress::FromUnixPath(path);
  REQUIRE(::bind(daemon.get(), address.get(), address.size()) == 0);
  const auto fd = ConnectSyslog(path);
  REQUIRE(fd);
  REQUIRE(::send(fd->get(), "hello", 5, 0) == 5);
  char text[16] = {};
  CHECK(::recv(daemon.get(), text, sizeof text, 0) == 5);
  CHECK(std::string(text) == "hello");
}

}  // namespace postern::os
