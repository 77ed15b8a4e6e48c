// Starting a process of our own. The child runs between fork and exec, where another thread of the
// parent may have held any lock at the moment of the fork: so it makes nothing but calls that
// signal-safety(7) lists, on memory laid out before. posix_spawn would do most of it, but cannot
// set signals that are ignored back to their defaults without knowing each of them, and hides
// which step failed.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <string_view>
#include <system_error>

#include "postern/os/process.h"

namespace postern::os {
namespace {

using FdPair = std::pair<int, int>;

// Puts each descriptor at its number in the child. All are copied out of the way first, since one
// pair's source may be another's target. Returns 0 or an errno value.
int PlaceDescriptors(const FdPair* pairs, size_t count, int* copies) {
  int above = 3;
  for (size_t i = 0; i < count; ++i) above = std::max(above, pairs[i].second + 1);
  for (size_t i = 0; i < count; ++i) {
    copies[i] = ::fcntl(pairs[i].first, F_DUPFD_CLOEXEC, above);
    if (copies[i] < 0) return errno;
  }
  // Whatever a library may have left open without close-on-exec stays here; the copies and what
  // they become are set right below.
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  for (size_t i = 0; i < count; ++i) {
    if (::dup2(copies[i], pairs[i].second) < 0) return errno;
  }
  return 0;
}

// With every signal still blocked, so that none of ours acts in the child before the exec.
void DefaultSignals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void RunChild(const char* program, char* const* argv, char* const* environment,
                           const FdPair* pairs, size_t count, int* copies, int report_fd) {
  // The report must survive the placing: at a number that no pair names.
  int above = 3;
  for (size_t i = 0; i < count; ++i) above = std::max(above, pairs[i].second + 1);
  const int report = ::fcntl(report_fd, F_DUPFD_CLOEXEC, above);
  int error_number = PlaceDescriptors(pairs, count, copies);
  if (error_number == 0) {
    DefaultSignals();
    ::execve(program, argv, environment);
    error_number = errno;
  }
  [[maybe_unused]] const ssize_t written = ::write(report, &error_number, sizeof error_number);
  ::_exit(127);
}

// Variables that children do not get; the loader thread adds to them.
struct Withheld {
  std::mutex mutex;
  std::set<std::string, std::less<>> names;
};
Withheld& TheWithheld() {
  static Withheld withheld;
  return withheld;
}

// The environment without what is withheld, ended by a null pointer. The texts are the process's
// own.
std::vector<char*> ChildEnvironment() {
  Withheld& withheld = TheWithheld();
  const std::lock_guard lock(withheld.mutex);
  std::vector<char*> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!withheld.names.contains(text.substr(0, text.find('=')))) environment.push_back(*entry);
  }
  environment.push_back(nullptr);
  return environment;
}

// What the child said before it could exec: 0 for nothing, which is good.
int ReadReport(int fd) {
  int error_number = 0;
  ssize_t got = 0;
  do {
    got = ::read(fd, &error_number, sizeof error_number);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof error_number) ? error_number : 0;
}

}  // namespace

void WithholdVariable(const std::string& name) {
  Withheld& withheld = TheWithheld();
  const std::lock_guard lock(withheld.mutex);
  withheld.names.insert(name);
}

namespace {

// What a start needs, laid out before the fork.
struct Plan {
  const char* program;
  std::vector<std::string> words;  // argv
  std::vector<char*> environment;  // ended by a null pointer
  const std::vector<FdPair>& inherited;
};

Result<pid_t> Spawn(Plan plan, const std::string& remedy) {
  std::vector<char*> argv;
  for (std::string& word : plan.words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<int> copies(plan.inherited.size(), -1);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return FailErrno("cannot start a process", errno);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  const int fork_error = errno;
  if (pid == 0) {
    RunChild(plan.program, argv.data(), plan.environment.data(), plan.inherited.data(),
             plan.inherited.size(), copies.data(), write_end.get());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return FailErrno("cannot start a process", fork_error);

  write_end.Reset();
  const int error_number = ReadReport(read_end.get());
  if (error_number == 0) return pid;
  int ignored = 0;
  while (::waitpid(pid, &ignored, 0) < 0 && errno == EINTR) {
  }
  return FailErrno(fmt::format("cannot start {}", plan.program), error_number, remedy);
}

bool SameFile(const std::string& path, const struct stat& file) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && found.st_ino == file.st_ino &&
         found.st_dev == file.st_dev;
}

std::string Absolute(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::absolute(path, ignored).lexically_normal().string();
}

// Where argv[0] may lead: itself when it is a path, else the places that PATH names.
std::vector<std::string> Candidates(const std::string& name) {
  if (name.find('/') != std::string::npos) return {Absolute(name)};
  std::vector<std::string> found;
  const char* variable = ::getenv("PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const std::string folder(rest.substr(0, end));
    found.push_back(Absolute((folder.empty() ? "." : folder) + "/" + name));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return found;
}

}  // namespace

Result<std::string> ProgramPath() {
  constexpr const char* kSelf = "/proc/self/exe";
  struct stat self {};
  if (::stat(kSelf, &self) != 0) return FailErrno("cannot find this program's file", errno);
  for (std::string& path : Candidates(program_invocation_name)) {
    if (SameFile(path, self)) return std::move(path);
  }
  std::error_code error;
  std::string path = std::filesystem::read_symlink(kSelf, error).string();
  if (error) return FailErrno("cannot find this program's file", error.value());
  return path;
}

Result<pid_t> SpawnProgram(const std::string& path, const std::vector<std::string>& arguments,
                           const std::vector<std::string>& variables,
                           const std::vector<std::pair<int, int>>& inherited) {
  std::vector<std::string> words = {path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> ours = variables;
  const auto replaced = [&](std::string_view entry) {
    const std::string_view name = entry.substr(0, entry.find('=') + 1);
    return std::any_of(ours.begin(), ours.end(),
                       [&](const std::string& text) { return text.starts_with(name); });
  };
  std::vector<char*> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (!replaced(*entry)) environment.push_back(*entry);
  }
  for (std::string& text : ours) environment.push_back(text.data());
  environment.push_back(nullptr);
  return Spawn({path.c_str(), std::move(words), std::move(environment), inherited},
               "is the program there, and may it be executed?");
}

Result<pid_t> SpawnSelf(const std::vector<std::string>& arguments,
                        const std::vector<std::pair<int, int>>& inherited) {
  std::vector<std::string> words = {"postern"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return Spawn({"/proc/self/exe", std::move(words), ChildEnvironment(), inherited},
               "is /proc mounted, and may this program's file be executed?");
}

}  // namespace postern::os
