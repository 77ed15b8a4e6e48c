#include "config/duration.h"

#include "tests/unit/catch.h"

namespace postern::config {

TEST_CASE("duration: a number and a unit") {
  CHECK(ParseDuration("250ms") == 250);
  CHECK(ParseDuration("10s") == 10'000);
  CHECK(ParseDuration("35m") == 2'100'000);
  CHECK(ParseDuration("24h") == 86'400'000);
  CHECK(ParseDuration("7d") == 604'800'000);
  CHECK(ParseDuration("0s") == 0);
}

TEST_CASE("duration: everything else is refused") {
  for (const char* text :
       {"", "10", "s", "-1s", "+1s", "1.5s", "1h30m", "10 s", " 10s", "10s ", "10sec", "10S",
        "0x10s", "18446744073709551616s", "18446744073709551615d", "10w"}) {
    INFO(text);
    CHECK_FALSE(ParseDuration(text).has_value());
  }
}

TEST_CASE("duration: shown in the largest unit that fits") {
  CHECK(DurationText(0) == "0s");
  CHECK(DurationText(100) == "100ms");
  CHECK(DurationText(1'500) == "1500ms");
  CHECK(DurationText(90'000) == "90s");
  CHECK(DurationText(2'100'000) == "35m");
  CHECK(DurationText(604'800'000) == "7d");
}

}  // namespace postern::config
