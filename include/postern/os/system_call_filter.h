// A filter of system calls (seccomp(2)), made from a list of rules by libseccomp. It sees numbers
// and arguments, never the memory that arguments point to, and not what io_uring does.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "postern/base/result.h"

namespace postern::os {

enum class CallVerdict : uint8_t {
  kAllow,
  // The process ends by SIGSYS, whatever it does about signals: for what only an intruder would
  // try.
  kKill,
};

// ArgumentTest holds when the bits of argument number `argument` (from 0) that are in `mask` are
// `value`.
struct ArgumentTest {
  uint32_t argument = 0;
  uint64_t mask = UINT64_MAX;
  uint64_t value = 0;
};

// CallRule is about the calls of one name; with tests, about those for which all of them hold. No
// two tests of a rule may be of the same argument. A name that this architecture does not have, or
// that libseccomp does not know, is passed over: the call is then one of "the rest".
struct CallRule {
  std::string_view name;
  CallVerdict verdict = CallVerdict::kAllow;
  std::vector<ArgumentTest> tests = {};
};

// What becomes of calls that no rule is about.
enum class RestOfCalls : uint8_t {
  kRefuse,  // EPERM, noted in the kernel's log
  kLog,     // allowed, noted in the kernel's log; and so are those of kKill
  kAllow,
};

// FilterSystemCalls puts the filter on this thread and all it starts, for good, and sets
// no_new_privs, which the kernel asks for. Calls of another architecture (32-bit, x32) end the
// process, unless the rest is logged or allowed.
Status FilterSystemCalls(const std::vector<CallRule>& rules, RestOfCalls rest);

}  // namespace postern::os
