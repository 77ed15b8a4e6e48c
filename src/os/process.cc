// Privileges, limits, CPUs and signals. Starting processes is in spawn.cc, the pid file in
// pid_file.cc.
#include "postern/os/process.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace postern::os {
namespace {

// Calls a getpwnam_r-like function with a buffer that grows until it is large enough. Returns the
// error number, 0 also when nothing was found (`found` is nullptr then).
template <typename Entry, typename Get>
int LookUp(Entry& entry, Entry*& found, std::vector<char>& buffer, Get get) {
  buffer.resize(1024);
  for (;;) {
    const int error = get(&entry, buffer.data(), buffer.size(), &found);
    if (error != ERANGE || buffer.size() >= 1024 * 1024) return error;
    buffer.resize(buffer.size() * 2);
  }
}

Status CheckIdentity(uid_t uid, gid_t gid) {
  uid_t u[3];
  gid_t g[3];
  if (::getresuid(&u[0], &u[1], &u[2]) != 0 || ::getresgid(&g[0], &g[1], &g[2]) != 0) {
    return FailErrno("cannot read this process's identity", errno);
  }
  const bool all = std::all_of(u, u + 3, [&](uid_t x) { return x == uid; }) &&
                   std::all_of(g, g + 3, [&](gid_t x) { return x == gid; });
  if (!all) return Fail("privileges were not dropped whole");
  if (uid != 0 && ::setuid(0) == 0) return Fail("privileges could be had back after the drop");
  return {};
}

}  // namespace

std::vector<int> AllowedCpus() {
  for (int bits = 1024; bits <= 1024 * 1024; bits *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(bits));
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(bits));
    CPU_ZERO_S(size, set);
    std::vector<int> cpus;
    const int outcome = ::sched_getaffinity(0, size, set);
    const int error_number = errno;
    for (int cpu = 0; outcome == 0 && cpu < bits; ++cpu) {
      if (CPU_ISSET_S(static_cast<size_t>(cpu), size, set)) cpus.push_back(cpu);
    }
    CPU_FREE(set);
    if (!cpus.empty()) return cpus;
    if (error_number != EINVAL) break;  // EINVAL: the kernel's set is larger
  }
  return {0};
}

Status PinToCpu(int cpu) {
  cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(cpu) + 1);
  if (set == nullptr) return Fail("cannot pin to a CPU: out of memory");
  const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(cpu) + 1);
  CPU_ZERO_S(size, set);
  CPU_SET_S(static_cast<size_t>(cpu), size, set);
  const int outcome = ::sched_setaffinity(0, size, set);
  const int error_number = errno;
  CPU_FREE(set);
  if (outcome == 0) return {};
  return FailErrno(fmt::format("cannot pin to CPU {}", cpu), error_number);
}

Result<Identity> LookUpIdentity(const std::string& user, const std::string& group) {
  Identity identity;
  std::vector<char> buffer;
  passwd user_entry{};
  passwd* user_found = nullptr;
  int error = LookUp(user_entry, user_found, buffer,
                     [&](auto... a) { return ::getpwnam_r(user.c_str(), a...); });
  if (error != 0) return FailErrno(fmt::format("cannot look up the user \"{}\"", user), error);
  if (user_found == nullptr) {
    return Fail(fmt::format("there is no user \"{}\"", user),
                fmt::format("make it: useradd --system --shell /usr/sbin/nologin {}", user));
  }
  identity.user = user;
  identity.uid = user_entry.pw_uid;
  identity.gid = user_entry.pw_gid;

  struct group group_entry {};
  struct group* group_found = nullptr;
  error = LookUp(group_entry, group_found, buffer, [&](auto... a) {
    return group.empty() ? ::getgrgid_r(identity.gid, a...) : ::getgrnam_r(group.c_str(), a...);
  });
  if (error != 0) return FailErrno(fmt::format("cannot look up the group \"{}\"", group), error);
  if (group_found == nullptr && !group.empty()) {
    return Fail(fmt::format("there is no group \"{}\"", group),
                fmt::format("make it: groupadd --system {}", group));
  }
  if (group_found != nullptr) {
    identity.gid = group_entry.gr_gid;
    identity.group = group_entry.gr_name;
  } else {
    identity.group = fmt::to_string(identity.gid);
  }
  return identity;
}

Status BecomeIdentity(uid_t uid, gid_t gid) {
  if (::geteuid() != 0) {
    if (::geteuid() == uid && ::getegid() == gid) return {};
    return Fail(fmt::format("cannot become user {} group {}: only root may change users", uid, gid),
                "start as root, or leave [process] user and group out");
  }
  // Groups first: afterwards we may not any more.
  if (::setgroups(0, nullptr) != 0) return FailErrno("cannot drop supplementary groups", errno);
  if (::setresgid(gid, gid, gid) != 0) {
    return FailErrno(fmt::format("cannot become group {}", gid), errno);
  }
  if (::setresuid(uid, uid, uid) != 0) {
    return FailErrno(fmt::format("cannot become user {}", uid), errno);
  }
  return CheckIdentity(uid, gid);
}

Status MakeUndumpable() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) return {};
  return FailErrno("cannot switch core dumps off", errno);
}

Status NoNewPrivileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return FailErrno("cannot forbid new privileges", errno);
  }
  return MakeUndumpable();
}

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  if (limit.rlim_cur >= limit.rlim_max) return limit.rlim_cur;
  return ::setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

void RaiseLockedMemoryLimit(uint64_t bytes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= bytes) return;
  const rlimit wanted{bytes, std::max<rlim_t>(limit.rlim_max, bytes)};
  if (::setrlimit(RLIMIT_MEMLOCK, &wanted) == 0) return;
  // Not privileged: as far as the hard limit goes.
  const rlimit allowed{std::min<rlim_t>(limit.rlim_max, bytes), limit.rlim_max};
  ::setrlimit(RLIMIT_MEMLOCK, &allowed);
}

Result<UniqueFd> MakeSignalFd(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return FailErrno("cannot block signals", error);
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) return FailErrno("cannot make a signalfd", errno);
  return fd;
}

std::optional<int> ReadSignal(int signal_fd) {
  signalfd_siginfo info{};
  if (::read(signal_fd, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return {};
  return static_cast<int>(info.ssi_signo);
}

}  // namespace postern::os
