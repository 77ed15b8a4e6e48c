#include "bench/load/alive.h"

#include "tests/unit/catch.h"

using namespace postern::bench;

TEST_CASE("A server's answer to NOOP, as it comes", "[bench]") {
  CHECK(ReadAliveAnswer(Service::kImap, "") == AliveAnswer::kMore);
  CHECK(ReadAliveAnswer(Service::kImap, "b OK NOOP") == AliveAnswer::kMore);
  CHECK(ReadAliveAnswer(Service::kImap, "b OK NOOP completed\r\n") == AliveAnswer::kRight);
  CHECK(ReadAliveAnswer(Service::kImap, "* 3 EXISTS\r\nb OK\r\n") == AliveAnswer::kRight);
  CHECK(ReadAliveAnswer(Service::kImap, "* 3 EXISTS\r\n") == AliveAnswer::kMore);
  CHECK(ReadAliveAnswer(Service::kPop3, "+OK bye\r\n") == AliveAnswer::kRight);
  CHECK(ReadAliveAnswer(Service::kSmtp, "250 2.0.0 Ok\r\n") == AliveAnswer::kRight);
  CHECK(ReadAliveAnswer(Service::kRaw, "alive\n") == AliveAnswer::kRight);
}

TEST_CASE("Anything else is no answer to NOOP", "[bench]") {
  CHECK(ReadAliveAnswer(Service::kImap, "b BAD what?\r\n") == AliveAnswer::kWrong);
  CHECK(ReadAliveAnswer(Service::kImap, "a OK late\r\n") == AliveAnswer::kWrong);
  CHECK(ReadAliveAnswer(Service::kPop3, "-ERR no\r\n") == AliveAnswer::kWrong);
  CHECK(ReadAliveAnswer(Service::kSmtp, "421 going down\r\n") == AliveAnswer::kWrong);
  CHECK(ReadAliveAnswer(Service::kRaw, "dead\n") == AliveAnswer::kWrong);
}

TEST_CASE("Every service has a question that ends in a line", "[bench]") {
  for (const Service service :
       {Service::kRaw, Service::kImap, Service::kPop3, Service::kSmtp, Service::kHttp}) {
    CHECK(AliveQuestion(service).ends_with('\n'));
  }
}
