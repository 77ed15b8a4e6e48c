#include "master/upgrade.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "postern/os/clock.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

// A new process that does what `life` says with its end of the channel, then exits.
Upgrade::Options Living(const std::function<int(HandoverChannel&)>& life) {
  Upgrade::Options options;
  options.spawn = [life](int channel) -> Result<pid_t> {
    const pid_t pid = ::fork();
    if (pid == 0) {
      HandoverChannel end{os::UniqueFd(channel)};
      ::_exit(life(end));
    }
    return pid;
  };
  return options;
}

// Runs it until it has come to something.
void Conclude(Upgrade& upgrade) {
  const uint64_t deadline_ms = os::MonotonicMs() + 60'000;
  while (upgrade.state() == Upgrade::State::kStarting && os::MonotonicMs() < deadline_ms) {
    std::vector<pollfd> fds;
    upgrade.AddPollFds(fds);
    ::poll(fds.data(), fds.size(), 10);
    upgrade.Run(os::MonotonicMs());
  }
}

std::unique_ptr<Upgrade> Begun(const Upgrade::Options& options) {
  auto begun = Upgrade::Begin(options, os::MonotonicMs());
  REQUIRE(begun);
  return std::move(*begun);
}

bool Gone(pid_t pid) { return ::kill(pid, 0) != 0; }

bool Says(const Upgrade& upgrade, const char* words) {
  return upgrade.reason().find(words) != std::string::npos && upgrade.reason().ends_with('\n');
}

}  // namespace

TEST_CASE("upgrade: a process that comes to serve lives on", "[upgrade]") {
  pid_t pid = 0;
  {
    const auto upgrade = Begun(Living([](HandoverChannel& channel) {
      channel.Send(HandoverType::kHere);
      channel.Send(HandoverType::kServing);
      ::pause();
      return 0;
    }));
    Conclude(*upgrade);
    CHECK(upgrade->state() == Upgrade::State::kServing);
    CHECK_FALSE(upgrade->NextDeadlineMs());
    pid = upgrade->pid();
  }
  CHECK_FALSE(Gone(pid));
  ::kill(pid, SIGKILL);
  CHECK(::waitpid(pid, nullptr, 0) == pid);
}

TEST_CASE("upgrade: a refusal is handed on", "[upgrade]") {
  const auto upgrade = Begun(Living([](HandoverChannel& channel) {
    channel.Send(HandoverType::kHere);
    HandoverMessage refusal;
    refusal.type = HandoverType::kRefused;
    refusal.text = "x.toml:3: no such thing\n";
    channel.Send(refusal);
    return 1;
  }));
  Conclude(*upgrade);
  CHECK(upgrade->state() == Upgrade::State::kFailed);
  CHECK(upgrade->reason() == "x.toml:3: no such thing\n");
}

TEST_CASE("upgrade: one that ends is described by its end", "[upgrade]") {
  const auto exits = Begun(Living([](HandoverChannel&) { return 3; }));
  Conclude(*exits);
  CHECK(exits->state() == Upgrade::State::kFailed);
  CHECK(Says(*exits, "exited with status 3"));

  const auto crashes = Begun(Living([](HandoverChannel& channel) {
    channel.Send(HandoverType::kHere);
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
    return 0;
  }));
  Conclude(*crashes);
  CHECK(crashes->state() == Upgrade::State::kFailed);
  CHECK(Says(*crashes, "SIGSEGV"));
}

TEST_CASE("upgrade: one that says nothing, or does not come to serve, is killed", "[upgrade]") {
  for (const bool here : {false, true}) {
    Upgrade::Options options = Living([here](HandoverChannel& channel) {
      if (here) channel.Send(HandoverType::kHere);
      ::pause();
      return 0;
    });
    options.here_timeout_ms = here ? 60'000 : 50;
    options.serve_timeout_ms = 50;
    auto upgrade = Begun(options);
    Conclude(*upgrade);
    CHECK(upgrade->state() == Upgrade::State::kFailed);
    CHECK(Says(*upgrade, here ? "did not come to serve" : "did not report"));
    const pid_t pid = upgrade->pid();
    upgrade.reset();
    CHECK(Gone(pid));
  }
}

TEST_CASE("upgrade: one that cannot be started is an error", "[upgrade]") {
  Upgrade::Options options;
  options.spawn = [](int) -> Result<pid_t> { return Fail("no such program"); };
  const auto begun = Upgrade::Begin(options, os::MonotonicMs());
  REQUIRE_FALSE(begun);
  CHECK(begun.error().what == "no such program");
}

}  // namespace postern::master
