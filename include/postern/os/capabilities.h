// Capabilities of this thread (capabilities(7)). They belong to a thread: use these before others
// are started.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "postern/base/result.h"

namespace postern::os {

// CapabilitySet: bit N stands for the capability with the number N in linux/capability.h.
using CapabilitySet = uint64_t;

constexpr CapabilitySet Capabilities(std::initializer_list<int> numbers) {
  CapabilitySet set = 0;
  for (const int number : numbers) set |= CapabilitySet{1} << number;
  return set;
}

// What a thread may use (effective), may make effective (permitted), and hands on through an
// execve; the bounding set is what an execve as root can give it at most.
struct HeldCapabilities {
  CapabilitySet effective = 0;
  CapabilitySet permitted = 0;
  CapabilitySet inheritable = 0;
  CapabilitySet bounding = 0;
  CapabilitySet ambient = 0;
};
Result<HeldCapabilities> ReadCapabilities();

// LimitCapabilities gives up what is not in `keep`, in all five sets, for good: no execve brings it
// back. It adds nothing. The bounding set stays as it is for whoever lacks CAP_SETPCAP; that is no
// error, since without root there is nothing it could let in but what files grant, and
// NoNewPrivileges ends that.
Status LimitCapabilities(CapabilitySet keep);

// LimitBoundingSet is that part of LimitCapabilities alone, for a process that must first become
// another user, which it needs capabilities for.
Status LimitBoundingSet(CapabilitySet keep);

// CapabilityNames lists the set by the names of linux/capability.h in lower case, without "cap_":
// "kill net_bind_service"; a number where the name is not known; "none" for the empty set.
std::string CapabilityNames(CapabilitySet set);

}  // namespace postern::os
