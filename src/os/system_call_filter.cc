// libseccomp, since it knows the numbers of every architecture and has been through the mistakes
// that hand-written filters are known for. Of speed there is no question: calls that are allowed
// whatever their arguments are taken from a bitmap that the kernel makes of the filter
// (Linux 5.11), without running it; the rest finds its rule in a binary tree.
#include "postern/os/system_call_filter.h"

#include <fmt/format.h>
#include <seccomp.h>

#include <cerrno>
#include <memory>
#include <string>

namespace postern::os {
namespace {

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

std::unexpected<Error> Refused(const std::string& what, int outcome) {
  return FailErrno(what, -outcome,
                   "a kernel with CONFIG_SECCOMP_FILTER is needed, and no container profile that "
                   "forbids seccomp(2); [process] sandbox = \"off\" does without");
}

uint32_t RestAction(RestOfCalls rest) {
  switch (rest) {
    case RestOfCalls::kRefuse:
      return SCMP_ACT_ERRNO(EPERM);
    case RestOfCalls::kLog:
      return SCMP_ACT_LOG;
    case RestOfCalls::kAllow:
      return SCMP_ACT_ALLOW;
  }
  return SCMP_ACT_KILL_PROCESS;
}

uint32_t Action(CallVerdict verdict, RestOfCalls rest) {
  if (verdict == CallVerdict::kAllow) return SCMP_ACT_ALLOW;
  return rest == RestOfCalls::kLog ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS;
}

int SetAttributes(scmp_filter_ctx filter, RestOfCalls rest) {
  // For calls of another architecture, of which the rules know nothing.
  const uint32_t foreign =
      rest == RestOfCalls::kRefuse ? uint32_t{SCMP_ACT_KILL_PROCESS} : RestAction(rest);
  int outcome = ::seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, foreign);
  // What is refused is noted too, not only what kills. A kernel before 4.14 cannot; none of ours.
  if (outcome == 0) outcome = ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
  constexpr uint32_t kBinaryTree = 2;
  if (outcome == 0) outcome = ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree);
  return outcome;
}

int AddRule(scmp_filter_ctx filter, const CallRule& rule, RestOfCalls rest) {
  const uint32_t action = Action(rule.verdict, rest);
  if (action == RestAction(rest)) return 0;  // libseccomp takes that for a mistake
  const int number = ::seccomp_syscall_resolve_name(std::string(rule.name).c_str());
  // Below zero are the calls that exist elsewhere, but not on this architecture.
  if (number < 0) return 0;
  std::vector<scmp_arg_cmp> tests;
  for (const ArgumentTest& test : rule.tests) {
    tests.push_back({test.argument, SCMP_CMP_MASKED_EQ, test.mask, test.value});
  }
  return ::seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(tests.size()),
                                  tests.data());
}

}  // namespace

Status FilterSystemCalls(const std::vector<CallRule>& rules, RestOfCalls rest) {
  const Filter filter(::seccomp_init(RestAction(rest)));
  if (filter == nullptr) return Fail("cannot make a filter of system calls: out of memory");
  if (const int outcome = SetAttributes(filter.get(), rest); outcome != 0) {
    return Refused("cannot set up a filter of system calls", outcome);
  }
  for (const CallRule& rule : rules) {
    const int outcome = AddRule(filter.get(), rule, rest);
    if (outcome == 0) continue;
    return Refused(fmt::format("cannot filter the system call {}", rule.name), outcome);
  }
  if (const int outcome = ::seccomp_load(filter.get()); outcome != 0) {
    return Refused("cannot put a filter on system calls", outcome);
  }
  return {};
}

}  // namespace postern::os
