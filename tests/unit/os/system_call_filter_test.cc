#include "postern/os/system_call_filter.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "tests/unit/catch.h"
#include "tests/unit/os/in_child.h"

namespace postern::os {

#ifndef POSTERN_SANITIZED  // whose runtimes make calls of their own
namespace {

constexpr int kKilled = 128 + SIGSYS;

// What a process needs to run these tests and end.
std::vector<CallRule> Rules(std::vector<CallRule> more) {
  std::vector<CallRule> rules = {{.name = "exit_group"}, {.name = "munmap"}, {.name = "brk"}};
  rules.insert(rules.end(), more.begin(), more.end());
  return rules;
}

// Puts the filter on a child and returns what `attempt` gives there.
template <typename Attempt>
int Filtered(const std::vector<CallRule>& rules, RestOfCalls rest, Attempt attempt) {
  return InChild([&] { return FilterSystemCalls(rules, rest) ? attempt() : 99; });
}

int Dup() { return ErrnoOf(::syscall(SYS_dup, 0)); }
int GetPpid() { return ErrnoOf(::syscall(SYS_getppid)); }

}  // namespace

TEST_CASE("system call filter: calls on the list work, the rest is refused") {
  const auto rules = Rules({{.name = "getppid"}});
  CHECK(Filtered(rules, RestOfCalls::kRefuse, GetPpid) == 0);
  CHECK(Filtered(rules, RestOfCalls::kRefuse, Dup) == EPERM);
}

TEST_CASE("system call filter: a hostile call kills") {
  const auto rules = Rules({{.name = "dup", .verdict = CallVerdict::kKill}});
  CHECK(Filtered(rules, RestOfCalls::kRefuse, Dup) == kKilled);
  CHECK(Filtered(rules, RestOfCalls::kAllow, Dup) == kKilled);
  CHECK(Filtered(rules, RestOfCalls::kAllow, GetPpid) == 0);
}

TEST_CASE("system call filter: to log is to let through, hostile or not") {
  const auto rules = Rules({{.name = "dup", .verdict = CallVerdict::kKill}});
  CHECK(Filtered(rules, RestOfCalls::kLog, Dup) == 0);
  CHECK(Filtered(rules, RestOfCalls::kLog, GetPpid) == 0);
}

TEST_CASE("system call filter: arguments are told apart") {
  const auto rules =
      Rules({{.name = "fcntl", .tests = {{.argument = 1, .mask = UINT32_MAX, .value = F_GETFD}}},
             {.name = "mmap", .tests = {{.argument = 2, .mask = PROT_EXEC, .value = 0}}},
             {.name = "mmap",
              .verdict = CallVerdict::kKill,
              .tests = {{.argument = 2, .mask = PROT_EXEC, .value = PROT_EXEC}}}});
  const auto fcntl_of = [](int command) {
    return [command] { return ErrnoOf(::syscall(SYS_fcntl, 0, command, 0)); };
  };
  CHECK(Filtered(rules, RestOfCalls::kRefuse, fcntl_of(F_GETFD)) == 0);
  CHECK(Filtered(rules, RestOfCalls::kRefuse, fcntl_of(F_GETFL)) == EPERM);
  const auto map_for = [](int protection) {
    return [protection] {
      void* const got = ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      return got == MAP_FAILED ? errno : 0;
    };
  };
  CHECK(Filtered(rules, RestOfCalls::kRefuse, map_for(PROT_READ | PROT_WRITE)) == 0);
  CHECK(Filtered(rules, RestOfCalls::kRefuse, map_for(PROT_READ | PROT_EXEC)) == kKilled);
}

TEST_CASE("system call filter: all tests of a rule must hold") {
  const auto rules = Rules({{.name = "fcntl",
                             .tests = {{.argument = 0, .mask = UINT32_MAX, .value = 1},
                                       {.argument = 1, .mask = UINT32_MAX, .value = F_GETFD}}}});
  const auto attempt = [](int fd) {
    return [fd] { return ErrnoOf(::syscall(SYS_fcntl, fd, F_GETFD)); };
  };
  CHECK(Filtered(rules, RestOfCalls::kRefuse, attempt(1)) == 0);
  CHECK(Filtered(rules, RestOfCalls::kRefuse, attempt(2)) == EPERM);
}

#endif

TEST_CASE("system call filter: names that nobody knows are passed over; no new privileges") {
  CHECK(InChild([] {
          const std::vector<CallRule> rules = {{.name = "no_such_call"},
                                               {.name = "acct", .verdict = CallVerdict::kKill}};
          if (!FilterSystemCalls(rules, RestOfCalls::kAllow)) return 1;
          return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 2;
        }) == 0);
}

}  // namespace postern::os
