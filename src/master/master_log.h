// MasterLog: where log lines go, for the master itself and as a descriptor for its workers.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "postern/base/log.h"
#include "postern/base/result.h"
#include "postern/config/config.h"
#include "postern/os/unique_fd.h"
#include "postern/worker/protocol.h"

namespace postern::master {

// A log destination that is open.
struct LogTarget {
  config::Log config;
  os::UniqueFd fd;
};
Result<LogTarget> OpenLog(const config::Log& config);

// MasterLog is the master's LogSink. No failure of the destination stops the service: lines that
// it does not take go to standard error, and lines that this does not take at once are dropped.
class MasterLog : public LogSink {
 public:
  // Lines go to standard error until Use is called.
  MasterLog();
  ~MasterLog() override;

  // Use makes `target` the destination and sets the process's level and format.
  void Use(LogTarget target);
  // Reopen opens the destination again (it was rotated, or the daemon restarted). On failure the
  // old descriptor stays in use.
  Status Reopen();
  // Whether `config` names the destination that is in use, so that it need not be opened.
  bool Same(const config::Log& config) const;
  // Level and format of `config`, for the destination in use.
  void Adjust(const config::Log& config);

  // Whether the syslog daemon was reached anew since the last call: workers then need the
  // descriptor again.
  bool TakeReconnected() { return std::exchange(reconnected_, false); }

  // For kLog messages; the descriptor stays ours.
  std::pair<worker::LogSetUp, int> ForWorkers() const;

  void Write(LogLevel level, std::string_view line) override;

 private:
  // 0 or an errno value.
  int TryWrite(LogLevel level, std::string_view line) const;
  void Failing(int error_number);

  LogTarget target_;
  bool failing_ = false;
  bool reconnected_ = false;
};

}  // namespace postern::master
