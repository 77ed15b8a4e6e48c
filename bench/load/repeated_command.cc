#include "bench/load/repeated_command.h"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "postern/base/result.h"

namespace postern::bench {

void RepeatedCommand::Turn(uint64_t now_us, bool start) {
  int status = 0;
  if (pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) NoteEnd(status);
  if (running() && now_us >= started_us_ + limit_us_) {
    Kill();
    failure_ = fmt::format("not over after {:g} s", static_cast<double>(limit_us_) * 1e-6);
  }
  if (!start || command_.empty() || pid_ > 0 || now_us < due_us_) return;
  due_us_ = now_us + every_us_;
  started_us_ = now_us;
  Start();
}

void RepeatedCommand::NoteEnd(int status) {
  pid_ = -1;
  if (std::exchange(killed_, false)) return;  // that has been told
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    ++succeeded_;
  } else if (WIFEXITED(status)) {
    failure_ = fmt::format("exit status {}", WEXITSTATUS(status));
  } else {
    failure_ = fmt::format("ended by signal {}", WTERMSIG(status));
  }
}

void RepeatedCommand::Kill() {
  if (!running()) return;
  ::kill(-pid_, SIGKILL);
  killed_ = true;
}

// Our signals are blocked for signalfd, which the command must not inherit; what it says goes to
// standard error, since standard output may be the JSON result; and it has a process group of its
// own, so that what it has started can be ended with it.
void RepeatedCommand::Start() {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_init(&actions);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  ::posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  std::string shell = "sh", option = "-c";
  char* const words[] = {shell.data(), option.data(), command_.data(), nullptr};
  const int error = ::posix_spawn(&pid_, "/bin/sh", &actions, &attributes, words, environ);
  if (error != 0) {
    pid_ = -1;
    failure_ = ErrnoText(error);
  }
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
}

std::string RepeatedCommand::TakeFailure() { return std::exchange(failure_, {}); }

}  // namespace postern::bench
