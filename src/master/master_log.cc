// Log destinations. The master writes its few lines itself; a queue as the workers have one is not
// worth it here, since writing to a file or a datagram socket does not wait, and a pipe is asked
// first whether it has room.
#include "master/master_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "postern/os/files.h"
#include "postern/os/syslog.h"

namespace postern::master {
namespace {

// What a pipe takes whole when it says that it has room (pipe(7): PIPE_BUF).
constexpr size_t kPipePiece = 4096;

// Writes what `fd` takes without waiting. 0 or an errno value.
int WriteNow(int fd, std::string_view text) {
  while (!text.empty()) {
    pollfd room{fd, POLLOUT, 0};
    if (::poll(&room, 1, 0) == 0) return EAGAIN;
    const ssize_t written = ::write(fd, text.data(), std::min(text.size(), kPipePiece));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

std::string_view Describe(const config::Log& config) {
  switch (config.destination) {
    case config::LogDestination::kStderr:
      return "stderr";
    case config::LogDestination::kFile:
      return config.file;
    case config::LogDestination::kSyslog:
      return "syslog";
  }
  return "unknown";
}

Result<os::UniqueFd> OpenDestination(const config::Log& config) {
  switch (config.destination) {
    case config::LogDestination::kFile:
      return os::OpenForAppend(config.file);
    case config::LogDestination::kSyslog:
      return os::ConnectSyslog();
    case config::LogDestination::kStderr:
      break;
  }
  os::UniqueFd fd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) return FailErrno("cannot use standard error", errno);
  return fd;
}

}  // namespace

Result<LogTarget> OpenLog(const config::Log& config) {
  Result<os::UniqueFd> fd = OpenDestination(config);
  if (!fd) {
    Error error = fd.error();
    error.what = "log: " + error.what;
    if (error.remedy.empty()) {
      error.remedy =
          "mend that, or set [log] destination to another file, \"stderr\" or \"syslog\"";
    }
    return std::unexpected(std::move(error));
  }
  return LogTarget{config, std::move(*fd)};
}

MasterLog::MasterLog() {
  GlobalLogging().process = "master";
  GlobalLogging().sink = this;
}

MasterLog::~MasterLog() { GlobalLogging().sink = nullptr; }

void MasterLog::Use(LogTarget target) {
  target_ = std::move(target);
  failing_ = false;
  GlobalLogging().least = target_.config.level;
  GlobalLogging().format = target_.config.format;
}

bool MasterLog::Same(const config::Log& config) const {
  return target_.fd.valid() && target_.config.destination == config.destination &&
         target_.config.file == config.file;
}

void MasterLog::Adjust(const config::Log& config) {
  target_.config = config;
  GlobalLogging().least = config.level;
  GlobalLogging().format = config.format;
}

Status MasterLog::Reopen() {
  Result<LogTarget> target = OpenLog(target_.config);
  if (!target) return std::unexpected(target.error());
  Use(std::move(*target));
  return {};
}

std::pair<worker::LogSetUp, int> MasterLog::ForWorkers() const {
  worker::LogSetUp set_up;
  set_up.least = target_.config.level;
  set_up.format = target_.config.format;
  set_up.syslog = target_.config.destination == config::LogDestination::kSyslog;
  return {set_up, target_.fd.valid() ? target_.fd.get() : STDERR_FILENO};
}

int MasterLog::TryWrite(LogLevel level, std::string_view line) const {
  if (!target_.fd.valid()) return WriteNow(STDERR_FILENO, line);
  if (target_.config.destination != config::LogDestination::kSyslog) {
    return WriteNow(target_.fd.get(), line);
  }
  const std::string message = os::SyslogMessage(level, ::getpid(), line);
  const ssize_t sent = ::send(target_.fd.get(), message.data(), message.size(), MSG_NOSIGNAL);
  return sent < 0 ? errno : 0;
}

void MasterLog::Write(LogLevel level, std::string_view line) {
  int error_number = TryWrite(level, line);
  const bool syslog = target_.config.destination == config::LogDestination::kSyslog;
  if (syslog && (error_number == ECONNREFUSED || error_number == ENOTCONN)) {
    // The daemon was restarted: its socket is another one now.
    Result<os::UniqueFd> again = os::ConnectSyslog();
    if (again) {
      target_.fd = std::move(*again);
      reconnected_ = true;
      error_number = TryWrite(level, line);
    }
  }
  if (error_number == 0) {
    failing_ = false;
    return;
  }
  if (target_.config.destination == config::LogDestination::kStderr) return;
  if (!failing_) Failing(error_number);
  failing_ = true;
  WriteNow(STDERR_FILENO, line);
}

void MasterLog::Failing(int error_number) {
  WriteNow(STDERR_FILENO, fmt::format("postern: cannot write the log to {}: {}; its lines follow "
                                      "here until it can be written again\n",
                                      Describe(target_.config), ErrnoText(error_number)));
}

}  // namespace postern::master
