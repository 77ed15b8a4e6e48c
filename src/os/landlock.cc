// A ruleset without a single rule: all that it handles is denied. It holds where an empty root
// cannot be had (not root, or servers behind UNIX sockets whose paths must lead somewhere), and
// where the system call filter does not look: io_uring's operations pass it too.
#include "postern/os/landlock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "postern/os/unique_fd.h"

namespace postern::os {
namespace {

// linux/landlock.h of Debian 12 ends at ABI 3.
struct RulesetAttributes {
  uint64_t handled_access_fs = 0;
  uint64_t handled_access_net = 0;
  uint64_t scoped = 0;
};
constexpr uint32_t kAskForVersion = 1U << 0;
constexpr uint64_t kBindTcp = 1U << 0;
constexpr uint64_t kAbstractSockets = 1U << 0;
constexpr uint64_t kSignals = 1U << 1;

// The file accesses that ABI `version` knows: 13 at first, then refer (2), truncate (3), ioctl on
// devices (5).
uint64_t FileAccesses(int version) {
  const int known = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
  return (uint64_t{1} << known) - 1;
}

}  // namespace

Result<LandlockLimits> RestrictByLandlock() {
  const auto version =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskForVersion));
  if (version < 1) {
    return FailErrno("this kernel has no Landlock", errno,
                     "boot with \"landlock\" in the list of the kernel parameter lsm=");
  }
  RulesetAttributes attributes;
  attributes.handled_access_fs = FileAccesses(version);
  LandlockLimits limits{
      .version = version, .files = true, .bind = version >= 4, .scoped = version >= 6};
  if (limits.bind) attributes.handled_access_net = kBindTcp;
  if (limits.scoped) attributes.scoped = kAbstractSockets | kSignals;
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0U)));
  if (!ruleset.valid()) return FailErrno("cannot make a Landlock ruleset", errno);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0U) != 0) {
    return FailErrno("cannot take on a Landlock ruleset", errno);
  }
  return limits;
}

}  // namespace postern::os
