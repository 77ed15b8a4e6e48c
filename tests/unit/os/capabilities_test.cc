#include "postern/os/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/unit/catch.h"
#include "tests/unit/os/in_child.h"

namespace postern::os {

TEST_CASE("capabilities: their names") {
  CHECK(CapabilityNames(0) == "none");
  CHECK(CapabilityNames(Capabilities({CAP_KILL})) == "kill");
  CHECK(CapabilityNames(Capabilities({CAP_NET_BIND_SERVICE, CAP_SETUID, 63})) ==
        "setuid net_bind_service 63");
}

TEST_CASE("capabilities: what is not kept is gone from every set, for good") {
  if (::geteuid() != 0) return;  // nothing to drop
  constexpr CapabilitySet kKeep = Capabilities({CAP_KILL, CAP_SETPCAP});
  CHECK(InChild([&] {
          const auto before = ReadCapabilities();
          if (!before || (before->permitted & kKeep) != kKeep) return 1;
          // So that there is something in the other two sets.
          if (!LimitCapabilities(before->permitted)) return 2;
          if (!LimitCapabilities(kKeep)) return 3;
          const auto after = ReadCapabilities();
          if (!after || after->permitted != kKeep || after->effective != kKeep) return 4;
          if (after->bounding != kKeep || (after->inheritable & ~kKeep) != 0) return 5;
          if ((after->ambient & ~kKeep) != 0) return 6;
          // Nothing is added, only taken away.
          if (!LimitCapabilities(before->permitted)) return 7;
          return ReadCapabilities()->permitted == kKeep ? 0 : 8;
        }) == 0);
}

TEST_CASE("capabilities: the bounding set alone") {
  if (::geteuid() != 0) return;
  CHECK(InChild([] {
          const auto before = ReadCapabilities();
          if (!before || !LimitBoundingSet(0)) return 1;
          const auto after = ReadCapabilities();
          if (!after || after->bounding != 0) return 2;
          return after->permitted == before->permitted ? 0 : 3;
        }) == 0);
}

TEST_CASE("capabilities: who has none may give all of them up") {
  CHECK(InChild([] {
          if (::geteuid() == 0 && ::setuid(65534) != 0) return 1;
          // The bounding set cannot be changed without CAP_SETPCAP: no error, it is moot then.
          if (!LimitCapabilities(0)) return 2;
          const auto after = ReadCapabilities();
          return after && after->permitted == 0 && after->effective == 0 ? 0 : 3;
        }) == 0);
}

}  // namespace postern::os
