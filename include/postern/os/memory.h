// MemoryWatch: how much memory this process may still get, as far as the kernel says.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "postern/os/unique_fd.h"

namespace postern::os {

// Opened before privileges are dropped: looking needs no more than the descriptors, lseek and read.
class MemoryWatch {
 public:
  // What cannot be opened (no /proc, no control group of version 2 with the memory controller) is
  // left out.
  static MemoryWatch Open();

  // The least of what the machine has available and what the process's own control group leaves;
  // nothing when neither can be known. Limits of groups further up are not looked at.
  std::optional<uint64_t> AvailableBytes() const;

 private:
  UniqueFd meminfo_;
  UniqueFd group_most_;
  UniqueFd group_now_;
  UniqueFd group_details_;
};

// The forms that the kernel writes, for tests. Each gives octets.
std::optional<uint64_t> ReadMemAvailable(std::string_view meminfo);      // /proc/meminfo
std::optional<uint64_t> ReadInactiveFile(std::string_view memory_stat);  // memory.stat
// The control group's path in /proc/self/cgroup; empty when there is none of version 2.
std::string_view ReadGroupPath(std::string_view cgroup);

}  // namespace postern::os
