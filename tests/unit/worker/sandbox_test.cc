#include "postern/worker/sandbox.h"

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "postern/ring/ring.h"
#include "postern/worker/sandbox_probe.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/in_child.h"
#include "worker/system_calls.h"

namespace postern::worker {
namespace {

SandboxOptions Options() {
  const bool root = ::geteuid() == 0;
  return {.uid = root ? 65534 : ::geteuid(),
          .gid = root ? 65534 : ::getegid(),
          .empty_root = EmptyRootPossible({}).has_value()};
}

bool Has(const std::vector<os::CallRule>& rules, std::string_view name, os::CallVerdict verdict) {
  return std::ranges::any_of(
      rules, [&](const auto& rule) { return rule.name == name && rule.verdict == verdict; });
}

}  // namespace

TEST_CASE("system calls: no call is both allowed and hostile whatever its arguments") {
  std::set<std::string_view> seen;
  for (const os::CallRule& rule : SystemCallRules({.unix_sockets = true})) {
    if (!rule.tests.empty()) continue;
    INFO(rule.name);
    CHECK(seen.insert(rule.name).second);
  }
}

TEST_CASE("system calls: a call with tests is not let through without them") {
  const auto rules = SystemCallRules({});
  for (const std::string_view name :
       {"mmap", "mprotect", "socket", "fcntl", "io_uring_register", "prctl", "tgkill"}) {
    INFO(name);
    CHECK(Has(rules, name, os::CallVerdict::kAllow));
    CHECK(std::ranges::none_of(
        rules, [&](const auto& rule) { return rule.name == name && rule.tests.empty(); }));
  }
  CHECK(Has(rules, "io_uring_setup", os::CallVerdict::kKill));
}

TEST_CASE("sandbox: everything forbidden is stopped") {
  const Status no_empty_root = EmptyRootPossible({});
  const auto findings = ProbeSandbox(Options(), no_empty_root);
  REQUIRE(findings);
  REQUIRE(findings->attempts.size() >= 10);
  for (const SandboxAttempt& attempt : findings->attempts) {
    INFO(attempt.what << ": " << attempt.outcome);
    // The sanitizers' runtimes need some of it.
    CHECK((attempt.stopped || SandboxIsRelaxed()));
  }
  for (const SandboxMeasure& measure : findings->measures) {
    INFO(measure.name << ": " << measure.detail);
    // What is not in force is explained.
    CHECK((measure.in_force || !measure.detail.empty()));
  }
}

TEST_CASE("sandbox: the probe sees what is not there") {
  SandboxOptions options = Options();
  options.mode = config::SandboxMode::kOff;
  options.empty_root = false;
  const auto findings = ProbeSandbox(options, Fail("not asked for"));
  REQUIRE(findings);
  CHECK_FALSE(findings->all_good());
  const auto outcome = [&](std::string_view what) {
    const auto found = std::ranges::find(findings->attempts, what, &SandboxAttempt::what);
    REQUIRE(found != findings->attempts.end());
    return found->outcome;
  };
  CHECK(outcome("open a file") == "it worked");
  CHECK(outcome("open a file through the ring") == "it worked");
  CHECK(outcome("make memory executable") == "it worked");
  const auto in_force = [&](std::string_view name) {
    const auto found = std::ranges::find(findings->measures, name, &SandboxMeasure::name);
    REQUIRE(found != findings->measures.end());
    return found->in_force;
  };
  CHECK_FALSE(in_force("system calls by a list (seccomp)"));
  CHECK_FALSE(in_force("an empty root directory"));
  // These do not depend on the mode.
  CHECK(in_force("no capabilities"));
  CHECK(in_force("no new privileges"));
  CHECK(in_force("no core dumps"));
}

TEST_CASE("sandbox: a socket is handed to the ring whichever way liburing names the ring") {
  const auto refused = [](unsigned how) {
    return os::InChild([how] {
      const auto ring = ring::Ring::Create(
          {.entries = 8, .completions = 16, .direct_descriptors = 8, .restricted = true});
      if (!ring || !EnterSandbox(Options())) return 1;
      // With an argument that the kernel would not take: only who refuses matters.
      const long outcome = ::syscall(SYS_io_uring_register, (*ring)->native()->ring_fd,
                                     IORING_REGISTER_FILES_UPDATE | how, nullptr, 1);
      return outcome < 0 && errno == EPERM ? 2 : 0;
    });
  };
  CHECK(refused(0) == 0);
  constexpr unsigned kByRegisteredNumber = 1U << 31;  // IORING_REGISTER_USE_REGISTERED_RING
  CHECK(refused(kByRegisteredNumber) == 0);
}

TEST_CASE("sandbox: without the filter, files are still out of reach") {
  if (SandboxIsRelaxed()) return;
  const int outcome = os::InChild([] {
    const auto gaps = EnterSandboxUnfiltered(Options());
    if (!gaps) return 1;
    if (!gaps->landlock.empty() && !Options().empty_root) return 77;  // nothing to be had here
    return ::access("/etc/passwd", F_OK) == 0 && ::fopen("/etc/passwd", "r") != nullptr ? 2 : 0;
  });
  CHECK((outcome == 0 || outcome == 77));
}

TEST_CASE("sandbox: no empty root where a path has to lead somewhere, or without a sandbox") {
  config::Config config;
  config.process.sandbox = config::SandboxMode::kOff;
  CHECK_FALSE(EmptyRootPossible(config));
  config.process.sandbox = config::SandboxMode::kOn;
  config::Server server;
  server.unix_path = "/run/dovecot/imap";
  config.backends.push_back({.name = "imap", .servers = {server}, .where = {}});
  const Status possible = EmptyRootPossible(config);
  REQUIRE_FALSE(possible);
  if (::geteuid() == 0 && !SandboxIsRelaxed()) {
    CHECK(possible.error().what.find("/run/dovecot/imap") != std::string::npos);
  }
}

}  // namespace postern::worker
