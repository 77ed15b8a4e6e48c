#include "postern/os/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "postern/os/socket_address.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {
namespace {

// A service manager's end of the protocol.
struct Listener {
  explicit Listener(const std::string& address) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address.data(), address.size());
    if (name.sun_path[0] == '@') name.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), size) == 0);
    ::setenv("NOTIFY_SOCKET", address.c_str(), 1);
  }
  std::string Take() const {
    char text[256];
    const ssize_t size = ::recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? "nothing" : std::string(text, static_cast<size_t>(size));
  }
  UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

}  // namespace

TEST_CASE("service manager: states reach a socket with a path, and no child inherits its address") {
  const TemporaryDirectory directory;
  const Listener listener(directory.path() + "/notify");
  const ServiceManager manager = ServiceManager::FromEnvironment();
  CHECK(manager.listens());
  CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
  manager.Notify("READY=1\nSTATUS=Serving");
  CHECK(listener.Take() == "READY=1\nSTATUS=Serving");
}

TEST_CASE("service manager: an abstract socket begins with @") {
  const Listener listener("@postern-test-" + std::to_string(::getpid()));
  ServiceManager::FromEnvironment().Notify("STOPPING=1");
  CHECK(listener.Take() == "STOPPING=1");
}

TEST_CASE("service manager: nobody listens without a usable address") {
  for (const char* address : {"", "relative", "tcp:1"}) {
    ::setenv("NOTIFY_SOCKET", address, 1);
    const ServiceManager manager = ServiceManager::FromEnvironment();
    CHECK_FALSE(manager.listens());
    manager.Notify("READY=1");
  }
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  CHECK_FALSE(ServiceManager::FromEnvironment().listens());
}

TEST_CASE("service manager: the watchdog is for the process that it names") {
  const Listener listener("@postern-watchdog-" + std::to_string(::getpid()));
  const auto watchdog_ms = [](const char* usec, const std::string& pid) {
    ::setenv("NOTIFY_SOCKET", ("@postern-watchdog-" + std::to_string(::getpid())).c_str(), 1);
    ::setenv("WATCHDOG_USEC", usec, 1);
    pid.empty() ? ::unsetenv("WATCHDOG_PID") : ::setenv("WATCHDOG_PID", pid.c_str(), 1);
    return ServiceManager::FromEnvironment().watchdog_ms();
  };
  CHECK(watchdog_ms("30000000", std::to_string(::getpid())) == 15'001);
  CHECK(watchdog_ms("30000000", "") == 15'001);
  CHECK_FALSE(watchdog_ms("30000000", "1"));
  CHECK_FALSE(watchdog_ms("0", ""));
  CHECK_FALSE(watchdog_ms("soon", ""));
}

TEST_CASE("service manager: who takes our place finds it, and its watchdog, too") {
  const std::string address = "@postern-test-next-" + std::to_string(::getpid());
  const Listener listener(address);
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const ServiceManager manager = ServiceManager::FromEnvironment();
  REQUIRE(manager.watchdog_ms());
  for (const std::string& variable : manager.Variables()) {
    const size_t equals = variable.find('=');
    ::setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  const ServiceManager next = ServiceManager::FromEnvironment();
  CHECK(next.watchdog_ms() == manager.watchdog_ms());
  next.Notify("READY=1");
  CHECK(listener.Take() == "READY=1");
  CHECK(ServiceManager::FromEnvironment().Variables().empty());
}

}  // namespace postern::os
