#include "master/heartbeat.h"

#include "tests/unit/catch.h"

namespace postern::master {
namespace {

using Verdict = Heartbeat::Verdict;
constexpr HeartbeatTimes kTimes = {.every_ms = 100, .patience_ms = 400};

}  // namespace

TEST_CASE("heartbeat: who answers is asked again, who does not is given up") {
  Heartbeat heartbeat(kTimes);
  CHECK_FALSE(heartbeat.NextDeadlineMs());
  CHECK(heartbeat.Look(1'000'000) == Verdict::kFine);

  heartbeat.Begin(1'000);
  CHECK(heartbeat.Look(1'099) == Verdict::kFine);
  CHECK(heartbeat.NextDeadlineMs() == 1'100);
  CHECK(heartbeat.Look(1'100) == Verdict::kAsk);
  heartbeat.Asked(1'100);
  CHECK(heartbeat.Look(1'499) == Verdict::kFine);
  heartbeat.Answered(1'499);
  CHECK(heartbeat.Look(1'500) == Verdict::kFine);
  CHECK(heartbeat.Look(1'599) == Verdict::kAsk);

  heartbeat.Asked(1'600);
  CHECK(heartbeat.NextDeadlineMs() == 2'000);
  CHECK(heartbeat.Look(2'000) == Verdict::kSilent);
}

TEST_CASE("heartbeat: an answer that came while nobody looked counts") {
  Heartbeat heartbeat(kTimes);
  heartbeat.Begin(0);
  heartbeat.Asked(100);
  // The asker was stopped for a minute.
  heartbeat.Answered(60'000);
  CHECK(heartbeat.Look(60'000) == Verdict::kFine);
}

TEST_CASE("heartbeat: an answer to no question changes nothing; the next worker begins anew") {
  Heartbeat heartbeat(kTimes);
  heartbeat.Begin(0);
  heartbeat.Answered(90);
  CHECK(heartbeat.Look(100) == Verdict::kAsk);
  heartbeat.Asked(100);
  heartbeat.End();
  CHECK(heartbeat.Look(10'000) == Verdict::kFine);
  heartbeat.Begin(10'000);
  CHECK(heartbeat.Look(10'100) == Verdict::kAsk);
}

}  // namespace postern::master
