// A process for each attempt, since the first that is stopped may be killed by it; and one that
// stands still inside, to be looked at.
#include "postern/worker/sandbox_probe.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "postern/os/unique_fd.h"
#include "postern/ring/ring.h"
#include "sandbox_attempts.h"

namespace postern::worker {
namespace {

constexpr int kNotEntered = 255;  // exit status; no errno value is as high

Result<std::unique_ptr<ring::Ring>> MakeRing(const SandboxOptions& options) {
  return ring::Ring::Create({.entries = 8,
                             .completions = 16,
                             .direct_descriptors = 8,
                             .restricted = options.mode != config::SandboxMode::kOff});
}

std::optional<int> Await(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  return status;
}

SandboxAttempt Judge(const Attempt& attempt, const std::optional<int>& status) {
  SandboxAttempt found{.what = attempt.what};
  if (!status) {
    found.outcome = "cannot be told";
  } else if (WIFSIGNALED(*status)) {
    found.stopped = WTERMSIG(*status) == SIGSYS;
    found.outcome = found.stopped ? "killed" : fmt::format("died by signal {}", WTERMSIG(*status));
  } else if (WEXITSTATUS(*status) == kNotEntered) {
    found.outcome = "the sandbox could not be entered";
  } else if (WEXITSTATUS(*status) == 0) {
    found.outcome = "it worked";
  } else {
    found.stopped = true;
    found.outcome = "refused: " + ErrnoText(WEXITSTATUS(*status));
  }
  return found;
}

SandboxAttempt Try(const Attempt& attempt, const SandboxOptions& options) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto ring = MakeRing(options);
    ::_exit(ring && EnterSandbox(options) ? attempt.run(**ring) : kNotEntered);
  }
  return Judge(attempt, pid < 0 ? std::nullopt : Await(pid));
}

struct Pipe {
  os::UniqueFd read;
  os::UniqueFd write;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return FailErrno("cannot make a pipe", errno);
  return Pipe{os::UniqueFd(ends[0]), os::UniqueFd(ends[1])};
}

// What is on `fd` until its end, or until a line ends.
std::string ReadLine(int fd) {
  std::string text;
  char c = 0;
  for (;;) {
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got != 1 || c == '\n') return text;
    text += c;
  }
}

void WriteLine(int fd, const std::string& text) {
  const std::string line = text + '\n';
  [[maybe_unused]] const ssize_t written = ::write(fd, line.data(), line.size());
}

// A process that stands in the sandbox while it lives.
class Inmate {
 public:
  static Result<Inmate> Start(const SandboxOptions& options) {
    Result<Pipe> said = MakePipe();
    if (!said) return std::unexpected(said.error());
    Result<Pipe> told = MakePipe();
    if (!told) return std::unexpected(told.error());
    Inmate inmate;
    inmate.pid_ = ::fork();
    if (inmate.pid_ < 0) return FailErrno("cannot start a process", errno);
    if (inmate.pid_ == 0) Live(options, said->write.get(), std::move(*told));
    said->write.Reset();
    inmate.told_ = std::move(told->write);
    const std::string first = ReadLine(said->read.get());
    if (first != "in") {
      return Fail(first.empty() ? "the probe of the sandbox died in it" : first);
    }
    inmate.gaps_.landlock = ReadLine(said->read.get());
    inmate.gaps_.landlock_old = ReadLine(said->read.get());
    return inmate;
  }
  Inmate(Inmate&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        told_(std::move(other.told_)),
        gaps_(std::move(other.gaps_)) {}
  Inmate& operator=(Inmate&&) = delete;
  ~Inmate() {
    told_.Reset();  // it ends
    if (pid_ > 0) Await(pid_);
  }

  const SandboxGaps& gaps() const { return gaps_; }

  // The lines of /proc/PID/status.
  std::map<std::string, std::string> Fields() const {
    std::map<std::string, std::string> fields;
    std::ifstream file(fmt::format("/proc/{}/status", pid_));
    for (std::string line; std::getline(file, line);) {
      const size_t colon = line.find(':');
      if (colon == std::string::npos) continue;
      const size_t value = line.find_first_not_of(" \t", colon + 1);
      fields[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
    }
    return fields;
  }

  // What /proc has below a process that leaves no core is root's.
  bool LeavesNoCore() const {
    struct stat found {};
    return ::stat(fmt::format("/proc/{}/fd", pid_).c_str(), &found) == 0 && found.st_uid == 0;
  }

 private:
  Inmate() = default;

  [[noreturn]] static void Live(const SandboxOptions& options, int said, Pipe told) {
    told.write.Reset();
    const Result<SandboxGaps> gaps = EnterSandbox(options);
    WriteLine(said, gaps ? "in" : gaps.error().ToString());
    if (gaps) {
      WriteLine(said, gaps->landlock);
      WriteLine(said, gaps->landlock_old);
      ReadLine(told.read.get());  // until the other end is closed
    }
    ::_exit(0);
  }

  pid_t pid_ = -1;
  os::UniqueFd told_;
  SandboxGaps gaps_;
};

bool IsZero(const std::string& hexadecimal) {
  return !hexadecimal.empty() && hexadecimal.find_first_not_of('0') == std::string::npos;
}

SandboxMeasure OwnUser(const SandboxOptions& options) {
  SandboxMeasure measure{"a user of their own", options.uid != 0 && ::geteuid() == 0, {}};
  if (measure.in_force) return measure;
  measure.detail = options.uid == 0 ? "they run as root; name another user in [process] user"
                                    : "they run as whoever starts Postern; start it as root";
  return measure;
}

std::string FilterDetail(const SandboxOptions& options) {
  if (SandboxIsRelaxed()) return "this build has sanitizers, which need files and processes";
  switch (options.mode) {
    case config::SandboxMode::kOn:
      return {};
    case config::SandboxMode::kLog:
      return "[process] sandbox is \"log\": calls that are not on the list are noted, not refused";
    case config::SandboxMode::kOff:
      return "[process] sandbox is \"off\"";
  }
  return {};
}

SandboxMeasure Landlock(const SandboxOptions& options, const SandboxGaps& gaps) {
  SandboxMeasure measure{"files out of reach (Landlock)", FilterDetail(options).empty(), {}};
  if (options.mode == config::SandboxMode::kLog) measure.in_force = !SandboxIsRelaxed();
  if (!measure.in_force) {
    measure.detail = FilterDetail(options);
  } else if (!gaps.landlock.empty()) {
    measure.in_force = false;
    measure.detail = gaps.landlock;
  } else {
    measure.detail = gaps.landlock_old;
  }
  return measure;
}

std::vector<SandboxMeasure> Look(const Inmate& inmate, const SandboxOptions& options,
                                 const Status& no_empty_root) {
  std::map<std::string, std::string> status = inmate.Fields();
  const bool none = IsZero(status["CapPrm"]) && IsZero(status["CapEff"]) &&
                    IsZero(status["CapInh"]) && IsZero(status["CapAmb"]);
  const bool bounded = IsZero(status["CapBnd"]);
  const std::string lacking = FilterDetail(options);
  return {
      OwnUser(options),
      {"no capabilities", none, {}},
      {"no capabilities to be had", bounded,
       bounded ? "" : "emptying the bounding set takes CAP_SETPCAP; start as root"},
      {"no new privileges", status["NoNewPrivs"] == "1", {}},
      {"no core dumps", inmate.LeavesNoCore(), {}},
      {"an empty root directory", options.empty_root,
       no_empty_root ? "" : no_empty_root.error().ToString()},
      Landlock(options, inmate.gaps()),
      {"system calls by a list (seccomp)", status["Seccomp"] == "2" && lacking.empty(), lacking},
  };
}

}  // namespace

bool SandboxFindings::all_good() const {
  return std::ranges::all_of(measures, &SandboxMeasure::in_force) &&
         std::ranges::all_of(attempts, &SandboxAttempt::stopped);
}

Result<SandboxFindings> ProbeSandbox(const SandboxOptions& options, const Status& no_empty_root) {
  // Said here in whole, rather than by a process that cannot begin.
  if (const auto ring = MakeRing(options); !ring) return std::unexpected(ring.error());
  SandboxFindings findings;
  {
    const Result<Inmate> inmate = Inmate::Start(options);
    if (!inmate) return std::unexpected(inmate.error());
    findings.measures = Look(*inmate, options, no_empty_root);
  }
  for (const Attempt& attempt : Attempts()) findings.attempts.push_back(Try(attempt, options));
  return findings;
}

}  // namespace postern::worker
