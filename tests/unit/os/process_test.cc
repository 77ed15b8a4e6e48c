#include "postern/os/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "postern/os/files.h"
#include "postern/os/socket.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {
namespace {

// Runs a hidden test of this program in a process of its own, quietly.
Result<pid_t> Spawn(const std::string& test, const std::vector<std::pair<int, int>>& inherited) {
  return SpawnSelf({test, "-o", "/dev/null"}, inherited);
}

int ExitStatus(pid_t pid) {
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What arrives on `fd` until its end.
std::string ReadAll(int fd) {
  std::string text;
  char buffer[256];
  for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    read.Reset(ends[0]);
    write.Reset(ends[1]);
  }
  UniqueFd read;
  UniqueFd write;
};

void Say(int fd, const std::string& text) {
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

}  // namespace

// --- What the tests below run in a child ---

TEST_CASE("spawned child: tells what it was started with", "[.spawned-tell]") {
  sigset_t blocked;
  ::sigprocmask(SIG_BLOCK, nullptr, &blocked);
  struct sigaction pipe_action {};
  ::sigaction(SIGPIPE, nullptr, &pipe_action);
  std::string open;
  for (int fd = 3; fd < 64; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) open += fmt::format("{},", fd);
  }
  Say(5, fmt::format("usr1={} pipe={} open={}", ::sigismember(&blocked, SIGUSR1),
                     pipe_action.sa_handler == SIG_DFL, open));
  Say(3, "three");
  Say(4, "four");
}

TEST_CASE("spawned child: writes each descriptor's number to it", "[.spawned-number]") {
  std::istringstream numbers(::getenv("POSTERN_TEST_FDS"));
  for (int fd = -1; numbers >> fd;) Say(fd, fmt::to_string(fd));
}

TEST_CASE("spawned child: drops its privileges for good", "[.spawned-drop]") {
  REQUIRE(BecomeIdentity(65534, 65534));
  CHECK(::getuid() == 65534);
  CHECK(::getgid() == 65534);
  CHECK(::getgroups(0, nullptr) == 0);
  CHECK(::setuid(0) == -1);
  CHECK(BecomeIdentity(65534, 65534));
  CHECK_FALSE(BecomeIdentity(65533, 65534));
  CHECK_FALSE(BecomeIdentity(0, 0));
  REQUIRE(NoNewPrivileges());
  CHECK(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
  CHECK(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
}

TEST_CASE("spawned child: pins itself and raises its limits", "[.spawned-limits]") {
  const std::vector<int> cpus = AllowedCpus();
  REQUIRE_FALSE(cpus.empty());
  REQUIRE(PinToCpu(cpus.back()));
  CHECK(AllowedCpus() == std::vector{cpus.back()});
  CHECK(::sched_getcpu() == cpus.back());
  CHECK_FALSE(PinToCpu(100'000));

  const rlimit low{64, 128};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  CHECK(RaiseDescriptorLimit() == 128);
  rlimit now{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &now) == 0);
  CHECK(now.rlim_cur == 128);

  const rlimit little{4096, 8192};
  REQUIRE(::setrlimit(RLIMIT_MEMLOCK, &little) == 0);
  RaiseLockedMemoryLimit(8192);
  REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &now) == 0);
  CHECK(now.rlim_cur == 8192);
  RaiseLockedMemoryLimit(1024);  // never lowered
  REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &now) == 0);
  CHECK(now.rlim_cur == 8192);
}

// --- The tests ---

TEST_CASE("process: a child gets its descriptors at their numbers, and nothing else") {
  Pipe a;
  Pipe b;
  Pipe c;
  // A descriptor without close-on-exec, as a careless library leaves it.
  const UniqueFd careless(::dup(a.read.get()));
  sigset_t block;
  sigset_t before;
  ::sigemptyset(&block);
  ::sigaddset(&block, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &block, &before);
  const auto ignored = ::signal(SIGPIPE, SIG_IGN);

  const auto pid =
      Spawn("[.spawned-tell]", {{a.write.get(), 3}, {b.write.get(), 4}, {c.write.get(), 5}});
  REQUIRE(pid);
  a.write.Reset();
  b.write.Reset();
  c.write.Reset();
  CHECK(ReadAll(a.read.get()) == "three");
  CHECK(ReadAll(b.read.get()) == "four");
  const std::string told = ReadAll(c.read.get());
  // Catch's own output file follows at the lowest free number.
  CHECK((told == "usr1=0 pipe=true open=3,4,5,6," || told == "usr1=0 pipe=true open=3,4,5,"));
  CHECK(ExitStatus(*pid) == 0);

  ::signal(SIGPIPE, ignored);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("process: sources and targets may overlap") {
  Pipe a;
  Pipe b;
  const int x = a.write.get();
  const int y = b.write.get();
  REQUIRE(::setenv("POSTERN_TEST_FDS", fmt::format("{} {}", x, y).c_str(), 1) == 0);
  const auto pid = Spawn("[.spawned-number]", {{x, y}, {y, x}});
  ::unsetenv("POSTERN_TEST_FDS");
  REQUIRE(pid);
  a.write.Reset();
  b.write.Reset();
  CHECK(ReadAll(a.read.get()) == fmt::to_string(y));
  CHECK(ReadAll(b.read.get()) == fmt::to_string(x));
  CHECK(ExitStatus(*pid) == 0);
}

TEST_CASE("process: privileges are dropped whole") {
  if (::geteuid() != 0) {
    CHECK(BecomeIdentity(::geteuid(), ::getegid()));
    CHECK_FALSE(BecomeIdentity(0, 0));
    return;
  }
  const auto pid = Spawn("[.spawned-drop]", {});
  REQUIRE(pid);
  CHECK(ExitStatus(*pid) == 0);
}

TEST_CASE("process: CPUs and limits") {
  const auto pid = Spawn("[.spawned-limits]", {});
  REQUIRE(pid);
  CHECK(ExitStatus(*pid) == 0);
}

TEST_CASE("process: identities by name") {
  const auto root = LookUpIdentity("root", "");
  REQUIRE(root);
  CHECK(root->uid == 0);
  CHECK(root->gid == 0);
  CHECK(root->group == "root");
  const auto mixed = LookUpIdentity("root", "nogroup");
  REQUIRE(mixed);
  CHECK(mixed->gid != 0);
  const auto user = LookUpIdentity("no-such-user", "");
  REQUIRE_FALSE(user);
  CHECK(user.error().what.find("no-such-user") != std::string::npos);
  CHECK(user.error().remedy.find("useradd") != std::string::npos);
  const auto group = LookUpIdentity("root", "no-such-group");
  REQUIRE_FALSE(group);
  CHECK(group.error().what.find("no-such-group") != std::string::npos);
}

TEST_CASE("process: signals come by descriptor, one by one") {
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, nullptr, &before);
  const auto fd = MakeSignalFd({SIGUSR1, SIGUSR2});
  REQUIRE(fd);
  CHECK_FALSE(ReadSignal(fd->get()));
  REQUIRE(::raise(SIGUSR2) == 0);
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(ReadSignal(fd->get()) == SIGUSR1);
  CHECK(ReadSignal(fd->get()) == SIGUSR2);
  CHECK_FALSE(ReadSignal(fd->get()));
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("process: a pid file keeps a second one out while it lives") {
  const TemporaryDirectory directory;
  const std::string path = directory / "pid";
  {
    auto file = PidFile::Create(path);
    REQUIRE(file);
    CHECK(ReadFile(path) == fmt::format("{}\n", ::getpid()));
    const auto second = PidFile::Create(path);
    REQUIRE_FALSE(second);
    CHECK(second.error().what.find(fmt::format("process {} holds it", ::getpid())) !=
          std::string::npos);
    const PidFile moved = std::move(*file);
    CHECK(std::filesystem::exists(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("process: a pid file left behind is taken over") {
  const TemporaryDirectory directory;
  const std::string path = directory / "pid";
  REQUIRE(WriteFileAtomically(path, "999999999\n", 0600));
  const auto file = PidFile::Create(path);
  REQUIRE(file);
  CHECK(ReadFile(path) == fmt::format("{}\n", ::getpid()));
  CHECK_FALSE(PidFile::Create(directory / "missing/pid"));
}

TEST_CASE("process: a pid file changes hands while its lock stays") {
  const TemporaryDirectory directory;
  const std::string path = directory / "pid";
  auto old_one = PidFile::Create(path);
  REQUIRE(old_one);
  UniqueFd passed(::fcntl(old_one->fd(), F_DUPFD_CLOEXEC, 0));
  {
    std::ofstream(path) << "1";  // as if the other had another pid
    auto new_one = PidFile::Adopt(path, std::move(passed));
    REQUIRE(new_one);
    CHECK(ReadFile(path) == fmt::format("{}\n", ::getpid()));
    old_one->Disown();
    CHECK(old_one->fd() == -1);
    { const PidFile gone = std::move(*old_one); }
    CHECK(ReadFile(path).has_value());
    CHECK_FALSE(PidFile::Create(path));
  }
  CHECK_FALSE(ReadFile(path).has_value());
}

TEST_CASE("process: this program's path leads to this program") {
  const auto path = ProgramPath();
  REQUIRE(path);
  CHECK(path->starts_with("/"));
  CHECK(std::filesystem::equivalent(*path, "/proc/self/exe"));
}

TEST_CASE("process: another program gets its words, its variables and what is withheld") {
  const TemporaryDirectory directory;
  const std::string script = directory / "script";
  std::ofstream(script) << "#!/bin/sh\necho \"$1 $GIVEN $SECRET\" >&5\n";
  REQUIRE(::chmod(script.c_str(), 0755) == 0);
  Pipe pipe;
  ::setenv("SECRET", "pass phrase", 1);
  ::setenv("GIVEN", "ours", 1);
  WithholdVariable("SECRET");
  const auto pid = SpawnProgram(script, {"word"}, {"GIVEN=theirs"}, {{pipe.write.get(), 5}});
  REQUIRE(pid);
  pipe.write.Reset();
  CHECK(ReadAll(pipe.read.get()) == "word theirs pass phrase\n");
  CHECK(ExitStatus(*pid) == 0);
  ::unsetenv("SECRET");
  ::unsetenv("GIVEN");
}

TEST_CASE("process: a program that is not there is an error that names it") {
  const auto pid = SpawnProgram("/no/such/program", {}, {}, {});
  REQUIRE_FALSE(pid);
  CHECK(pid.error().what.find("/no/such/program") != std::string::npos);
}

}  // namespace postern::os
