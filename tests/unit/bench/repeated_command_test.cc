#include "bench/load/repeated_command.h"

#include <unistd.h>

#include "tests/unit/catch.h"

using postern::bench::RepeatedCommand;

namespace {

// Turns with the clock at `now_us` until the command that runs has ended.
void AwaitEnd(RepeatedCommand& command, uint64_t now_us) {
  for (int i = 0; i < 6000 && command.running(); ++i) {
    ::usleep(10'000);
    command.Turn(now_us, false);
  }
  REQUIRE_FALSE(command.running());
}

}  // namespace

TEST_CASE("A command is run again when it is due", "[bench]") {
  RepeatedCommand command("true", 100, 1'000'000);
  command.Turn(1000, true);
  CHECK(command.running());
  AwaitEnd(command, 1050);
  command.Turn(1050, true);  // not due yet
  CHECK_FALSE(command.running());
  command.Turn(1100, true);
  AwaitEnd(command, 1100);
  CHECK(command.succeeded() == 2);
  CHECK(command.TakeFailure().empty());
}

TEST_CASE("How a command failed is told once", "[bench]") {
  for (const auto& [text, failure] :
       {std::pair("exit 7", "exit status 7"), std::pair("kill -9 $$", "ended by signal 9")}) {
    RepeatedCommand command(text, 100, 1'000'000);
    command.Turn(0, true);
    AwaitEnd(command, 1);
    CHECK(command.TakeFailure() == failure);
    CHECK(command.TakeFailure().empty());
    CHECK(command.succeeded() == 0);
  }
}

TEST_CASE("A command that hangs has failed, and holds nobody up", "[bench]") {
  RepeatedCommand command("sleep 600 & wait", 100, 2'000'000);
  command.Turn(1000, true);
  command.Turn(2'000'999, true);
  CHECK(command.running());
  command.Turn(2'001'000, true);
  CHECK_FALSE(command.running());
  CHECK(command.TakeFailure() == "not over after 2 s");
}
