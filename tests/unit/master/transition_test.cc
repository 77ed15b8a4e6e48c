#include "master/transition.h"

#include "tests/unit/catch.h"

namespace postern::master {
namespace {

using Phase = Transition::Phase;

Transition Three() { return Transition(5, {0, 1, 2}, 1'000); }

}  // namespace

TEST_CASE("transition: all ready, commit, all switched") {
  Transition transition = Three();
  CHECK(transition.phase() == Phase::kPreparing);
  transition.Ready(0, 5);
  transition.Ready(2, 5);
  CHECK(transition.waiting() == std::set<uint32_t>{1});
  CHECK(transition.phase() == Phase::kPreparing);
  transition.Ready(1, 5);
  REQUIRE(transition.phase() == Phase::kPrepared);
  transition.Commit(2'000);
  CHECK(transition.phase() == Phase::kSwitching);
  CHECK(transition.deadline_ms() == 2'000);
  transition.Switched(1, 5);
  transition.Switched(0, 5);
  CHECK(transition.phase() == Phase::kSwitching);
  transition.Switched(2, 5);
  CHECK(transition.phase() == Phase::kDone);
}

TEST_CASE("transition: one refusal is everybody's, and tells who and why") {
  Transition transition = Three();
  transition.Ready(0, 5);
  transition.Ready(2, 5);
  transition.Refused(1, 5, "no memory");
  CHECK(transition.phase() == Phase::kFailed);
  CHECK(transition.reason() == "worker 1 refuses: no memory");
  // Nothing that comes later revives it.
  transition.Ready(1, 5);
  transition.Switched(1, 5);
  CHECK(transition.phase() == Phase::kFailed);
}

TEST_CASE("transition: a refusal after the others' readiness still counts before the commit") {
  Transition transition = Three();
  for (const uint32_t worker : {0U, 1U, 2U}) transition.Ready(worker, 5);
  transition.Died(1, "exited with status 1");
  CHECK(transition.phase() == Phase::kFailed);
  CHECK(transition.reason() == "worker 1 exited with status 1 while it prepared");
}

TEST_CASE("transition: silence has an end") {
  Transition transition = Three();
  transition.Ready(1, 5);
  transition.Expire(999);
  CHECK(transition.phase() == Phase::kPreparing);
  transition.Expire(1'000);
  CHECK(transition.phase() == Phase::kFailed);
  CHECK(transition.reason() == "no answer in time from workers 0, 2");
}

TEST_CASE("transition: after the commit there is no way back") {
  Transition transition = Three();
  for (const uint32_t worker : {0U, 1U, 2U}) transition.Ready(worker, 5);
  transition.Commit(2'000);
  transition.Refused(0, 5, "too late");
  transition.Fail("too late");
  transition.Expire(5'000);
  CHECK(transition.phase() == Phase::kSwitching);
  // Who dies is replaced on the new generation.
  transition.Died(0, "was killed");
  transition.Switched(1, 5);
  transition.Switched(2, 5);
  CHECK(transition.phase() == Phase::kDone);
}

TEST_CASE("transition: words about other generations and of outsiders change nothing") {
  Transition transition = Three();
  for (const uint32_t worker : {0U, 1U, 2U}) transition.Ready(worker, 4);
  transition.Refused(0, 4, "stale");
  transition.Refused(9, 5, "an outsider");
  transition.Died(9, "was killed");
  transition.Switched(0, 5);
  CHECK(transition.phase() == Phase::kPreparing);
  CHECK(transition.waiting().size() == 3);
}

TEST_CASE("transition: with no worker alive there is nobody to ask") {
  Transition transition(5, {}, 1'000);
  CHECK(transition.phase() == Phase::kPrepared);
  transition.Commit(2'000);
  CHECK(transition.phase() == Phase::kDone);
}

}  // namespace postern::master
