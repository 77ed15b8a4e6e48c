// Processes, privileges and signals.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::os {

// AllowedCpus lists the CPUs this process may run on, in order. Never empty.
std::vector<int> AllowedCpus();
Status PinToCpu(int cpu);

// SpawnSelf starts this same executable (by /proc/self/exe, so an upgrade of the file on disk does
// not mix versions) with `arguments` (without argv[0]). `inherited` pairs are dup'ed in the child:
// first (ours) becomes second (the child's number); everything else is close-on-exec. Safe to call
// while other threads run. All signals are unblocked and at their defaults in the child.
Result<pid_t> SpawnSelf(const std::vector<std::string>& arguments,
                        const std::vector<std::pair<int, int>>& inherited);

// ProgramPath is where this program was started from: argv[0] made absolute, looked up in PATH when
// it is a bare name. Links are not followed, so that whatever an upgrade puts there is found. When
// that is not the file that runs, it is that file's own path. Call it at the start: later the file
// may be another.
Result<std::string> ProgramPath();

// SpawnProgram starts the program at `path` as SpawnSelf starts this one. It gets the whole
// environment, with what is withheld from others, and `variables` ("NAME=value") in place of those
// of the same names.
Result<pid_t> SpawnProgram(const std::string& path, const std::vector<std::string>& arguments,
                           const std::vector<std::string>& variables,
                           const std::vector<std::pair<int, int>>& inherited);

// WithholdVariable keeps an environment variable, which holds a secret, from all that SpawnSelf
// starts from now on. Any thread may call it.
void WithholdVariable(const std::string& name);

// Identity of a user and group, looked up by name.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string user;
  std::string group;
};
// An empty group means the user's own.
Result<Identity> LookUpIdentity(const std::string& user, const std::string& group);
// BecomeIdentity drops to `identity` for good (groups, gid, uid; then checks that there is no way
// back). When not root it does nothing if it already is that user, and fails otherwise.
Status BecomeIdentity(uid_t uid, gid_t gid);
// NoNewPrivileges sets PR_SET_NO_NEW_PRIVS and makes the process undumpable (no core with keys,
// no ptrace by the same user).
Status NoNewPrivileges();

// MakeUndumpable is the second half of NoNewPrivileges alone, for the master: it holds keys but
// must be able to start workers that drop what it has.
Status MakeUndumpable();

// RaiseDescriptorLimit raises RLIMIT_NOFILE to its hard limit and returns what holds then.
uint64_t RaiseDescriptorLimit();
// RaiseLockedMemoryLimit raises RLIMIT_MEMLOCK as far as allowed, up to `bytes`.
void RaiseLockedMemoryLimit(uint64_t bytes);

// MakeSignalFd blocks `signals` in this thread and returns a signalfd for them.
Result<UniqueFd> MakeSignalFd(std::initializer_list<int> signals);
// ReadSignal returns the next signal number, or nothing when none waits.
std::optional<int> ReadSignal(int signal_fd);

// PidFile is created at start (with our pid and a lock held while we live) and removed at the end.
// Or it goes from one process to another while the lock stays: the descriptor is passed, the new
// process adopts it, the old one disowns it.
class PidFile {
 public:
  PidFile() = default;
  PidFile(PidFile&& other) noexcept;
  PidFile& operator=(PidFile&& other) noexcept;
  ~PidFile();
  // Fails when a live process holds the lock, naming its pid.
  static Result<PidFile> Create(const std::string& path);
  // Adopt takes over the locked file `fd` that is at `path`, and writes our pid into it.
  static Result<PidFile> Adopt(const std::string& path, UniqueFd fd);
  // Disown leaves the file, and the lock, to whoever has adopted them.
  void Disown();

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }  // -1 without a file

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace postern::os
