// By the system calls themselves: libcap would be a dependency for five of them.
#include "postern/os/capabilities.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace postern::os {
namespace {

constexpr int kHighest = 63;

constexpr std::array<std::string_view, 41> kNames = {"chown",
                                                     "dac_override",
                                                     "dac_read_search",
                                                     "fowner",
                                                     "fsetid",
                                                     "kill",
                                                     "setgid",
                                                     "setuid",
                                                     "setpcap",
                                                     "linux_immutable",
                                                     "net_bind_service",
                                                     "net_broadcast",
                                                     "net_admin",
                                                     "net_raw",
                                                     "ipc_lock",
                                                     "ipc_owner",
                                                     "sys_module",
                                                     "sys_rawio",
                                                     "sys_chroot",
                                                     "sys_ptrace",
                                                     "sys_pacct",
                                                     "sys_admin",
                                                     "sys_boot",
                                                     "sys_nice",
                                                     "sys_resource",
                                                     "sys_time",
                                                     "sys_tty_config",
                                                     "mknod",
                                                     "lease",
                                                     "audit_write",
                                                     "audit_control",
                                                     "setfcap",
                                                     "mac_override",
                                                     "mac_admin",
                                                     "syslog",
                                                     "wake_alarm",
                                                     "block_suspend",
                                                     "audit_read",
                                                     "perfmon",
                                                     "bpf",
                                                     "checkpoint_restore"};
static_assert(kNames[CAP_NET_BIND_SERVICE] == "net_bind_service");
static_assert(kNames[CAP_SYS_CHROOT] == "sys_chroot");
static_assert(kNames[CAP_CHECKPOINT_RESTORE] == "checkpoint_restore");

bool Has(CapabilitySet set, int number) { return ((set >> number) & 1) != 0; }

// The kernel's two words of 32 bits each.
using Words = std::array<__user_cap_data_struct, 2>;

CapabilitySet Join(uint32_t low, uint32_t high) { return low | (CapabilitySet{high} << 32); }

Status Get(Words& words) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (::syscall(SYS_capget, &header, words.data()) == 0) return {};
  return FailErrno("cannot read this process's capabilities", errno);
}

Status Set(const Words& words) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (::syscall(SYS_capset, &header, words.data()) == 0) return {};
  return FailErrno("cannot drop capabilities", errno);
}

// Whether the running kernel knows this capability at all, and it is in the bounding set.
bool Bounded(int number) { return ::prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1; }
bool Ambient(int number) {
  return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) == 1;
}

}  // namespace

Result<HeldCapabilities> ReadCapabilities() {
  Words words{};
  if (Status got = Get(words); !got) return std::unexpected(got.error());
  HeldCapabilities held;
  held.effective = Join(words[0].effective, words[1].effective);
  held.permitted = Join(words[0].permitted, words[1].permitted);
  held.inheritable = Join(words[0].inheritable, words[1].inheritable);
  for (int number = 0; number <= kHighest; ++number) {
    if (Bounded(number)) held.bounding |= Capabilities({number});
    if (Ambient(number)) held.ambient |= Capabilities({number});
  }
  return held;
}

Status LimitBoundingSet(CapabilitySet keep) {
  for (int number = 0; number <= kHighest; ++number) {
    if (Has(keep, number) || !Bounded(number)) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EPERM) return {};  // no CAP_SETPCAP
    return FailErrno("cannot drop capabilities from the bounding set", errno);
  }
  return {};
}

Status LimitCapabilities(CapabilitySet keep) {
  // First what needs CAP_SETPCAP, which may go with the rest.
  if (Status limited = LimitBoundingSet(keep); !limited) return limited;
  Words words{};
  if (Status got = Get(words); !got) return got;
  for (size_t i = 0; i < words.size(); ++i) {
    const auto kept = static_cast<uint32_t>(keep >> (32 * i));
    words[i].effective &= kept;
    words[i].permitted &= kept;
    words[i].inheritable &= kept;  // and with it the ambient set, which is a part of it
  }
  return Set(words);
}

std::string CapabilityNames(CapabilitySet set) {
  std::string names;
  for (int number = 0; number <= kHighest; ++number) {
    if (!Has(set, number)) continue;
    if (!names.empty()) names += ' ';
    const auto index = static_cast<size_t>(number);
    names += index < kNames.size() ? std::string(kNames[index]) : fmt::to_string(number);
  }
  return names.empty() ? "none" : names;
}

}  // namespace postern::os
