// Runs something that cannot be undone in a process of its own.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "tests/unit/catch.h"

namespace postern::os {

// InChild returns what `run` did as the exit status of a child (0 to 127), or 128 and the number of
// the signal that ended it. Nothing of Catch may be used in `run`.
template <typename Run>
int InChild(Run run) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(run());
  int status = 0;
  pid_t got = -1;
  while ((got = ::waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
  }
  REQUIRE(got == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The errno value of a call that failed, 0 for one that did not.
inline int ErrnoOf(long result) { return result < 0 ? errno : 0; }

}  // namespace postern::os
