// Processes are forked before anything of the load exists, while there is one thread and no ring.
// Each sends its counts as text over a pipe at its end; orders and progress are in shared memory,
// where looking at them costs nothing. The first process makes no load, so that its progress costs
// none either.
#include "bench/load/processes.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>

#include "bench/load/load_loop.h"
#include "postern/base/check.h"
#include "postern/os/process.h"

namespace postern::bench {
namespace {

constexpr int kLookMs = 20;            // how often the first process looks
constexpr uint64_t kShowUs = 500'000;  // how often it shows

struct Shared {
  Control control;
  ProcessCell cells[1];  // as many as there are processes
};

struct Child {
  pid_t pid = -1;
  os::UniqueFd pipe;  // its result
  std::string text;
  bool ended = false;
};

Result<Shared*> MapShared(uint32_t processes) {
  const size_t size = sizeof(Shared) + processes * sizeof(ProcessCell);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return FailErrno("cannot share memory", errno);
  auto* shared = new (memory) Shared;
  for (uint32_t i = 1; i < processes; ++i) new (&shared->cells[i]) ProcessCell;
  return shared;
}

void WriteAll(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno != EINTR) return;
    if (wrote > 0) done += static_cast<size_t>(wrote);
  }
}

// The text begins with '{' for counts; else it is what went wrong.
std::string RunPart(const LoadLoop::Part& part) {
  if (!part.options.cpus.empty()) {
    const int cpu = part.options.cpus[part.index % part.options.cpus.size()];
    if (Status pinned = os::PinToCpu(cpu); !pinned) return pinned.error().ToString();
  }
  auto loop = LoadLoop::Create(part);
  if (!loop) return loop.error().ToString();
  const Tally tally = (*loop)->Run();
  static_cast<void>(loop->release());  // connections may still be closing; the exit ends them
  return Serialize(tally);
}

[[noreturn]] void ChildMain(const LoadLoop::Part& part, int pipe, pid_t parent) {
  // Signals are the first process's business; with it gone nobody wants the result.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kExitFailed);
  WriteAll(pipe, RunPart(part));
  part.cell.phase.store(Phase::kDone);
  ::_exit(kExitDone);
}

class Run {
 public:
  explicit Run(const LoadOptions& options) : options_(options) {}
  ~Run() { Kill(); }
  Result<Tally> Go();

 private:
  Status Start();
  bool AllAre(Phase phase) const;
  void Look();
  void Read(Child& child);
  void OnReady();
  void Show(bool last);
  void ShowPreparing(bool terminal) const;
  void Kill();
  Result<Tally> Gather();
  uint64_t Sum(std::atomic<uint64_t> ProcessCell::*member) const;

  const LoadOptions& options_;
  Shared* shared_ = nullptr;
  os::UniqueFd signals_;
  std::vector<Child> children_;
  uint64_t go_us_ = 0;
  uint64_t shown_us_ = 0;
  uint64_t shown_count_ = 0;
  double cpu_at_start_ = 0;  // our own, where measuring began
  double cpu_spent_ = 0;
};

Status Run::Start() {
  const auto targets = os::ResolveHost(options_.host, options_.port);
  if (!targets) return std::unexpected(targets.error());
  auto shared = MapShared(options_.processes);
  if (!shared) return std::unexpected(shared.error());
  shared_ = *shared;
  auto signals = os::MakeSignalFd({SIGINT, SIGTERM});
  if (!signals) return std::unexpected(signals.error());
  signals_ = std::move(*signals);
  const pid_t self = ::getpid();
  std::fflush(nullptr);  // or children would write it again
  for (uint32_t i = 0; i < options_.processes; ++i) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return FailErrno("cannot make a pipe", errno);
    Child child;
    child.pipe.Reset(ends[0]);
    const os::UniqueFd write_end(ends[1]);
    child.pid = ::fork();
    if (child.pid < 0) return FailErrno("cannot start a process", errno);
    if (child.pid == 0) {
      ChildMain({options_, targets->front(), i, shared_->control, shared_->cells[i]},
                write_end.get(), self);
    }
    children_.push_back(std::move(child));
  }
  return {};
}

bool Run::AllAre(Phase phase) const {
  for (size_t i = 0; i < children_.size(); ++i) {
    if (shared_->cells[i].phase.load() < phase && !children_[i].ended) return false;
  }
  return true;
}

uint64_t Run::Sum(std::atomic<uint64_t> ProcessCell::*member) const {
  uint64_t sum = 0;
  for (size_t i = 0; i < children_.size(); ++i) sum += (shared_->cells[i].*member).load();
  return sum;
}

Result<Tally> Run::Go() {
  if (Status started = Start(); !started) return std::unexpected(started.error());
  shown_us_ = NowUs();
  cpu_at_start_ = CpuSeconds();
  while (true) {
    Look();
    bool running = false;
    for (const Child& child : children_) running = running || !child.ended;
    if (!running) break;
    if (go_us_ == 0 && AllAre(Phase::kReady)) OnReady();
    Show(false);
  }
  // Of idle, opening is what is measured.
  if (options_.mode != ModeKind::kIdle || go_us_ == 0) cpu_spent_ = CpuSeconds() - cpu_at_start_;
  Show(true);
  return Gather();
}

void Run::OnReady() {
  if (options_.mode == ModeKind::kIdle) {
    cpu_spent_ = CpuSeconds() - cpu_at_start_;
    // JSON on standard output must stay JSON.
    fmt::print(options_.json == "-" ? stderr : stdout, "holding {}\n", Sum(&ProcessCell::open));
    std::fflush(stdout);
  }
  shown_us_ = go_us_ = NowUs();
  if (options_.mode != ModeKind::kIdle) cpu_at_start_ = CpuSeconds();
  shared_->control.go.store(true);
}

void Run::Look() {
  std::vector<pollfd> waited = {{signals_.get(), POLLIN, 0}};
  for (const Child& child : children_) {
    waited.push_back({child.ended ? -1 : child.pipe.get(), POLLIN, 0});
  }
  ::poll(waited.data(), waited.size(), kLookMs);
  if (waited[0].revents != 0 && os::ReadSignal(signals_.get())) {
    shared_->control.stop.store(true);
  }
  for (size_t i = 0; i < children_.size(); ++i) {
    if (waited[i + 1].revents != 0) Read(children_[i]);
  }
}

void Run::Read(Child& child) {
  char buffer[16384];
  const ssize_t got = ::read(child.pipe.get(), buffer, sizeof buffer);
  if (got > 0) {
    child.text.append(buffer, static_cast<size_t>(got));
  } else if (got == 0 || errno != EINTR) {
    child.ended = true;
    // One that cannot go on must not keep the others waiting.
    if (!child.text.starts_with('{')) shared_->control.stop.store(true);
  }
}

void Run::Show(bool last) {
  if (options_.quiet) return;
  const uint64_t now = NowUs();
  if (!last && now - shown_us_ < kShowUs) return;
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (!last && go_us_ == 0) {
    ShowPreparing(terminal);
    shown_us_ = now;
    return;
  }
  const uint64_t count = Sum(&ProcessCell::count);
  const auto seconds = static_cast<double>(now - shown_us_) * 1e-6;
  // Counting begins anew after the warm-up.
  const uint64_t more = count >= shown_count_ ? count - shown_count_ : count;
  if (last) {
    if (terminal) fmt::print(stderr, "\r\x1b[K");
  } else {
    fmt::print(stderr, "{}{:7.1f} s  {:>12} {}  {:>10.0f}/s  {:>7} open  {:>6} failed{}",
               terminal ? "\r" : "", static_cast<double>(now - go_us_) * 1e-6, count,
               UnitsOf(options_.mode), seconds > 0 ? static_cast<double>(more) / seconds : 0.0,
               Sum(&ProcessCell::open), Sum(&ProcessCell::failures), terminal ? "\x1b[K" : "\n");
  }
  shown_us_ = now;
  shown_count_ = count;
}

// Before the load begins: connections are opened, first sessions gathered.
void Run::ShowPreparing(bool terminal) const {
  const std::string what =
      options_.mode == ModeKind::kIdle
          ? fmt::format("opening {} of {}", Sum(&ProcessCell::count), options_.connections)
          : fmt::format("preparing  {:>7} open", Sum(&ProcessCell::open));
  fmt::print(stderr, "{}{}  {:>6} failed{}", terminal ? "\r" : "", what,
             Sum(&ProcessCell::failures), terminal ? "\x1b[K" : "\n");
}

void Run::Kill() {
  for (Child& child : children_) {
    if (child.pid <= 0) continue;
    if (!child.ended) ::kill(child.pid, SIGKILL);
    ::waitpid(child.pid, nullptr, 0);
    child.pid = -1;
  }
}

Result<Tally> Run::Gather() {
  Tally sum;
  for (size_t i = 0; i < children_.size(); ++i) {
    const std::string& text = children_[i].text;
    if (!text.empty() && !text.starts_with('{')) return Fail(text);
    const auto part = Deserialize(text);
    if (!part) {
      return Fail(fmt::format("process {} of the load ended without a result", i));
    }
    sum.Merge(*part);
  }
  sum.cpu_seconds += cpu_spent_;
  return sum;
}

}  // namespace

Result<Tally> RunLoad(const LoadOptions& options) { return Run(options).Go(); }

}  // namespace postern::bench
