#include "master/master_log.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postern/os/files.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::master {
namespace {

config::Log ToFile(const std::string& path) {
  config::Log log;
  log.destination = config::LogDestination::kFile;
  log.file = path;
  log.level = LogLevel::kNotice;
  return log;
}

// Catches what goes to descriptor 2 meanwhile.
class CaughtStderr {
 public:
  CaughtStderr() : before_(::fcntl(2, F_DUPFD_CLOEXEC, 3)) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    read_.Reset(ends[0]);
    ::dup2(ends[1], 2);
    ::close(ends[1]);
  }
  ~CaughtStderr() { ::dup2(before_.get(), 2); }
  std::string Take() {
    std::string text(100'000, '\0');
    const ssize_t got = ::read(read_.get(), text.data(), text.size());
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }

 private:
  os::UniqueFd before_;
  os::UniqueFd read_;
};

struct Restored {
  ~Restored() { GlobalLogging() = Logging(); }
};

std::string Content(const std::string& path) { return os::ReadFile(path).value_or(""); }

}  // namespace

TEST_CASE("master_log: writes to a file, and to a new one after it was rotated") {
  const Restored restored;
  const TemporaryDirectory directory;
  const std::string path = directory / "log";
  MasterLog log;
  auto target = OpenLog(ToFile(path));
  REQUIRE(target);
  log.Use(std::move(*target));
  LogLine(LogLevel::kNotice, "first");
  LogLine(LogLevel::kInfo, "below the level");
  REQUIRE(::rename(path.c_str(), (path + ".1").c_str()) == 0);
  LogLine(LogLevel::kNotice, "second");
  REQUIRE(log.Reopen());
  LogLine(LogLevel::kNotice, "third");
  const std::string old = Content(path + ".1");
  CHECK(old.find("event=first") != std::string::npos);
  CHECK(old.find("event=second") != std::string::npos);
  CHECK(old.find("below") == std::string::npos);
  CHECK(old.find("process=master") != std::string::npos);
  CHECK(Content(path).find("event=third") != std::string::npos);
  CHECK(log.ForWorkers().second > 2);
  CHECK(log.ForWorkers().first.least == LogLevel::kNotice);
}

TEST_CASE("master_log: a destination that cannot be opened again stays as it was") {
  const Restored restored;
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "sub");
  const std::string path = directory / "sub/log";
  MasterLog log;
  auto target = OpenLog(ToFile(path));
  REQUIRE(target);
  log.Use(std::move(*target));
  std::filesystem::rename(directory / "sub", directory / "moved");
  CHECK_FALSE(log.Reopen());
  LogLine(LogLevel::kNotice, "still written");
  CHECK(Content(directory / "moved/log").find("still written") != std::string::npos);
  const auto missing = OpenLog(ToFile(path));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what.find(path) != std::string::npos);
}

TEST_CASE("master_log: a full disk sends lines to standard error, and says so once") {
  const Restored restored;
  MasterLog log;
  auto target = OpenLog(ToFile("/dev/full"));
  REQUIRE(target);
  log.Use(std::move(*target));
  CaughtStderr caught;
  LogLine(LogLevel::kError, "one");
  LogLine(LogLevel::kError, "two");
  const std::string text = caught.Take();
  CHECK(text.find("cannot write the log to /dev/full: No space left on device") !=
        std::string::npos);
  CHECK(text.find("cannot write", text.find("cannot write") + 1) == std::string::npos);
  CHECK(text.find("event=one") != std::string::npos);
  CHECK(text.find("event=two") != std::string::npos);
}

TEST_CASE("master_log: a pipe that nobody reads does not hold us up") {
  const Restored restored;
  CaughtStderr caught;
  MasterLog log;  // to standard error
  const std::string value(1000, 'x');
  for (int i = 0; i < 200; ++i) LogLine(LogLevel::kError, "line").Field("value", value);
  // We got here; and what fitted is whole up to the pipe's end.
  CHECK(caught.Take().starts_with("time="));
}

TEST_CASE("master_log: which destinations are the same") {
  const Restored restored;
  const TemporaryDirectory directory;
  MasterLog log;
  CHECK_FALSE(log.Same(config::Log()));
  auto target = OpenLog(config::Log());
  REQUIRE(target);
  log.Use(std::move(*target));
  config::Log other;
  other.level = LogLevel::kDebug;
  other.format = LogFormat::kJson;
  CHECK(log.Same(other));
  log.Adjust(other);
  CHECK(GlobalLogging().least == LogLevel::kDebug);
  CHECK(GlobalLogging().format == LogFormat::kJson);
  CHECK_FALSE(log.Same(ToFile(directory / "log")));
}

}  // namespace postern::master
