// Found by tracing workers through the end-to-end tests (strace -f), and by reading what their
// libraries do in the cases that no test meets: the other clocks, memory that runs short, an abort.
// Kept short on purpose. Calls that a kernel or libc of tomorrow adds are refused with EPERM and
// noted in the kernel's log, not killed: most programs live with that.
#include "system_calls.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace postern::worker {
namespace {

using os::ArgumentTest;
using os::CallRule;
using os::CallVerdict;

// Whatever their arguments. What they act on is this process alone, or descriptors that it was
// given or made by one of the calls that are looked at below.
constexpr std::array kAllowed = std::to_array<std::string_view>({
    // The ring, and what is done beside it.
    "io_uring_enter",
    "close",
    "read",
    "write",
    "writev",
    "poll",
    "ppoll",
    "lseek",
    // Sockets.
    "accept4",
    "getpeername",
    "getsockname",
    "getsockopt",
    "setsockopt",
    "shutdown",
    "recvmsg",
    "sendmsg",
    // Memory.
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "mlock",
    "munlock",
    // Looks at descriptors; glibc has fstat by newfstatat, whose paths lead nowhere.
    "fstat",
    "newfstatat",
    // Time, chance, oneself.
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "getrandom",
    "getpid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getcpu",
    "sysinfo",
    "getrusage",
    "sched_yield",
    "sched_getaffinity",
    // Locks and restarts within libc.
    "futex",
    "restart_syscall",
    "rseq",
    "membarrier",
    // Signals to oneself, the end.
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "exit",
    "exit_group",
});

// What no worker does and an intruder tries first: files, programs, processes, other processes'
// memory, more privileges, another ring (which would know no restrictions), the machine.
constexpr std::array kHostile = std::to_array<std::string_view>({
    "open",
    "openat",
    "openat2",
    "creat",
    "open_by_handle_at",
    "name_to_handle_at",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "rmdir",
    "mknod",
    "mknodat",
    "truncate",
    "chmod",
    "fchmodat",
    "chown",
    "lchown",
    "fchownat",
    "execve",
    "execveat",
    "fork",
    "vfork",
    "clone",
    "clone3",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "kill",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "process_madvise",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "setfsuid",
    "setfsgid",
    "capset",
    "chroot",
    "pivot_root",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "mount_setattr",
    "io_uring_setup",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "memfd_secret",
    "keyctl",
    "add_key",
    "request_key",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "iopl",
    "ioperm",
    "modify_ldt",
    "pkey_mprotect",
    "personality",
    "shmget",
    "shmat",
    "msgget",
    "semget",
    "mq_open",
    "acct",
    "quotactl",
    "settimeofday",
    "clock_settime",
    "adjtimex",
    "clock_adjtime",
    "sethostname",
    "setdomainname",
});

constexpr uint64_t kKindOfSocket = 0xf;  // of socket(2)'s type: the rest are flags

ArgumentTest Is(uint32_t argument, uint64_t value) {
  // The kernel reads int and unsigned arguments of 32 bits; what is above may be anything.
  return {argument, UINT32_MAX, value};
}
ArgumentTest Masked(uint32_t argument, uint64_t mask, uint64_t value) {
  return {argument, mask, value};
}

// No memory is made executable: what was loaded at the start is all that ever runs.
void AddMemory(std::vector<CallRule>& rules) {
  for (const std::string_view name : {"mmap", "mprotect"}) {
    rules.push_back({name, CallVerdict::kAllow, {Masked(2, PROT_EXEC, 0)}});
    rules.push_back({name, CallVerdict::kKill, {Masked(2, PROT_EXEC, PROT_EXEC)}});
  }
}

// Streams towards the servers behind, and nothing else: no datagrams, nothing raw.
void AddSockets(std::vector<CallRule>& rules, bool unix_sockets) {
  for (const uint64_t family : {AF_INET, AF_INET6, AF_UNIX}) {
    if (family == AF_UNIX && !unix_sockets) continue;
    rules.push_back(
        {"socket", CallVerdict::kAllow, {Is(0, family), Masked(1, kKindOfSocket, SOCK_STREAM)}});
  }
  for (const uint64_t family : {AF_NETLINK, AF_PACKET, AF_KEY, AF_ALG, AF_VSOCK, AF_BLUETOOTH}) {
    rules.push_back({"socket", CallVerdict::kKill, {Is(0, family)}});
  }
}

// A look at seals and flags; not F_SETOWN (signals to others), leases or locks.
void AddDescriptorControl(std::vector<CallRule>& rules) {
  for (const uint64_t command : {F_GET_SEALS, F_GETFD, F_SETFD, F_GETFL, F_SETFL}) {
    rules.push_back({"fcntl", CallVerdict::kAllow, {Is(1, command)}});
  }
}

// The bit above says that the ring is named by its registered number: liburing from 2.4 on does so.
constexpr uint64_t kRegistration = 0x7fffffff;

// The ring's table of descriptors, and the pools' end. The ring itself knows this too.
void AddRingRegistrations(std::vector<CallRule>& rules) {
  for (const uint64_t what :
       {IORING_REGISTER_FILES_UPDATE, IORING_UNREGISTER_PBUF_RING, IORING_UNREGISTER_RING_FDS}) {
    rules.push_back({"io_uring_register", CallVerdict::kAllow, {Masked(1, kRegistration, what)}});
  }
}

// Newer allocators name the memory that they map (in /proc/PID/maps). Nothing else of prctl.
void AddNamesOfMemory(std::vector<CallRule>& rules) {
  rules.push_back({"prctl", CallVerdict::kAllow, {Is(0, PR_SET_VMA)}});
}

// abort(3) signals its own thread; nobody else is signalled.
void AddAbort(std::vector<CallRule>& rules) {
  const auto self = static_cast<uint64_t>(::getpid());
  rules.push_back({"tgkill", CallVerdict::kAllow, {Is(0, self), Is(2, SIGABRT)}});
}

#ifdef POSTERN_SANITIZED
// Their runtimes open files for reports, start a thread that stops and traces the others to look
// for leaks, and start a program to name addresses.
bool NeededBySanitizers(std::string_view name) {
  constexpr std::array kNeeded = std::to_array<std::string_view>(
      {"open", "openat", "creat", "unlink", "unlinkat", "mkdir", "mkdirat", "execve", "fork",
       "vfork", "clone", "clone3", "ptrace", "kill", "tkill", "personality"});
  for (const std::string_view needed : kNeeded) {
    if (name == needed) return true;
  }
  return false;
}
#else
bool NeededBySanitizers(std::string_view) { return false; }
#endif

}  // namespace

std::vector<CallRule> SystemCallRules(const CallRuleOptions& options) {
  std::vector<CallRule> rules;
  for (const std::string_view name : kAllowed) rules.push_back({name, CallVerdict::kAllow, {}});
  for (const std::string_view name : kHostile) {
    if (!NeededBySanitizers(name)) rules.push_back({name, CallVerdict::kKill, {}});
  }
  AddMemory(rules);
  AddSockets(rules, options.unix_sockets);
  AddDescriptorControl(rules);
  AddRingRegistrations(rules);
  AddNamesOfMemory(rules);
  AddAbort(rules);
  return rules;
}

}  // namespace postern::worker
