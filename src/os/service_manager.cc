// systemd's notification protocol is one datagram per message to a UNIX socket, documented as
// stable and meant to be spoken without libsystemd, which would bring compression and cryptography
// libraries into a process that holds keys.
#include "postern/os/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "postern/base/log.h"
#include "postern/base/result.h"

namespace postern::os {
namespace {

std::string TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

// WATCHDOG_PID names the process that is watched; without it, whoever has the variable.
std::optional<uint64_t> WatchdogMs() {
  const std::optional<uint64_t> usec = Number(TakeVariable("WATCHDOG_USEC"));
  const std::string pid = TakeVariable("WATCHDOG_PID");
  if (!usec || *usec == 0) return std::nullopt;
  if (!pid.empty() && Number(pid) != static_cast<uint64_t>(::getpid())) return std::nullopt;
  return *usec / 2'000 + 1;
}

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  ServiceManager manager;
  const std::optional<uint64_t> watchdog_ms = WatchdogMs();
  std::string address = TakeVariable("NOTIFY_SOCKET");
  if (address.empty()) return manager;
  if (address.size() >= sizeof(sockaddr_un::sun_path) || (address[0] != '/' && address[0] != '@')) {
    LogLine(LogLevel::kWarning, "the service manager cannot be told anything")
        .Field("reason", "NOTIFY_SOCKET is no address of a UNIX socket");
    return manager;
  }
  if (address[0] == '@') address[0] = '\0';
  manager.fd_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  manager.address_ = std::move(address);
  if (manager.fd_.valid()) manager.watchdog_ms_ = watchdog_ms;
  return manager;
}

std::vector<std::string> ServiceManager::Variables() const {
  if (!fd_.valid()) return {};
  std::string address = address_;
  if (address[0] == '\0') address[0] = '@';
  std::vector<std::string> variables = {"NOTIFY_SOCKET=" + address};
  // What was halved. Without WATCHDOG_PID, which would name us.
  if (watchdog_ms_) {
    variables.push_back("WATCHDOG_USEC=" + std::to_string((*watchdog_ms_ - 1) * 2'000 + 1'999));
  }
  return variables;
}

void ServiceManager::Notify(std::string_view state) const {
  if (!fd_.valid()) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  // A path ends in NUL, which the kernel adds; an abstract name is as long as it is.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  if (::sendto(fd_.get(), state.data(), state.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&to), size) < 0) {
    LogLine(LogLevel::kDebug, "the service manager was not told").Field("reason", ErrnoText(errno));
  }
}

}  // namespace postern::os
