// The root is /proc/self/fdinfo of a process that is gone. A directory of the disk would have to be
// made, owned and guarded by somebody, and could be filled; a mount namespace takes CAP_SYS_ADMIN,
// which neither a container nor our own unit for systemd gives. A dead process's directory is empty
// for ever: the kernel finds nothing in it, and nobody can put anything there. (Chromium's sandbox
// goes the same way.)
#include "postern/os/empty_root.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace postern::os {
namespace {

// Ends a child with an errno value, or 0, as its exit status.
[[noreturn]] void EndWith(bool done) { ::_exit(done ? 0 : errno); }

// Like fork, with more flags. Only system calls may follow in the child.
pid_t Fork(unsigned long flags) {
#if defined(__s390x__)
  return static_cast<pid_t>(::syscall(SYS_clone, nullptr, flags | SIGCHLD, nullptr, nullptr, 0));
#else
  return static_cast<pid_t>(::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, 0));
#endif
}

Status AwaitChild(pid_t pid) {
  constexpr const char* kWhat = "cannot enter an empty root directory";
  constexpr const char* kRemedy =
      "start as root with CAP_SYS_CHROOT, with /proc mounted and chroot(2) not forbidden by a "
      "container's or the service manager's filter";
  if (pid < 0) return FailErrno(kWhat, errno);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return FailErrno(kWhat, errno);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return FailErrno(kWhat, WIFEXITED(status) ? WEXITSTATUS(status) : EPERM, kRemedy);
}

}  // namespace

Status EnterEmptyRoot() {
  // The child shares our root and working directory (CLONE_FS): it moves both of us, and its end
  // empties the place.
  const pid_t pid = Fork(CLONE_FS);
  if (pid == 0) EndWith(::chroot("/proc/self/fdinfo") == 0 && ::chdir("/") == 0);
  return AwaitChild(pid);
}

Status CanEnterEmptyRoot() {
  const pid_t pid = Fork(0);
  if (pid == 0) EndWith(::chroot("/proc/self/fdinfo") == 0 && ::chdir("/") == 0);
  return AwaitChild(pid);
}

}  // namespace postern::os
