#include "bench/load/starttls.h"

#include "tests/unit/catch.h"

using namespace postern::bench;

namespace {

struct Step {
  std::string_view server;
  std::string_view client;  // what is sent in answer to it
};

// Plays a dialog whole and octet by octet; both must come to the upgrade.
void Upgrades(Service service, const std::vector<Step>& steps) {
  for (const bool cut : {false, true}) {
    StartTls dialog(service);
    for (size_t i = 0; i < steps.size(); ++i) {
      StartTls::Outcome outcome;
      const size_t pace = cut ? 1 : steps[i].server.size();
      for (size_t at = 0; at < steps[i].server.size(); at += pace) {
        REQUIRE(outcome.send.empty());
        outcome = dialog.Take(steps[i].server.substr(at, pace));
        REQUIRE_FALSE(outcome.refused);
      }
      CHECK(outcome.send == steps[i].client);
      CHECK(outcome.upgrade == (i + 1 == steps.size()));
    }
  }
}

std::string Refusal(Service service, const std::vector<std::string_view>& server) {
  StartTls dialog(service);
  StartTls::Outcome outcome;
  for (const std::string_view octets : server) {
    REQUIRE_FALSE(outcome.refused);
    REQUIRE_FALSE(outcome.upgrade);
    outcome = dialog.Take(octets);
  }
  CHECK(outcome.refused);
  CHECK_FALSE(outcome.upgrade);
  return outcome.reason;
}

}  // namespace

TEST_CASE("SMTP greets, offers and begins", "[bench]") {
  Upgrades(Service::kSmtp, {{"220-mx\r\n220 ready\r\n", "EHLO postern-bench.invalid\r\n"},
                            {"250-mx\r\n250-starttls\r\n250 SIZE 9\r\n", "STARTTLS\r\n"},
                            {"220 go\r\n", ""}});
}

TEST_CASE("IMAP may say more before it says OK", "[bench]") {
  Upgrades(Service::kImap, {{"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", "a STARTTLS\r\n"},
                            {"* NO careful\r\na OK begin\r\n", ""}});
}

TEST_CASE("POP3 greets and begins", "[bench]") {
  Upgrades(Service::kPop3, {{"+OK <1@pop>\r\n", "STLS\r\n"}, {"+OK\r\n", ""}});
}

TEST_CASE("A server that does not begin is refused, with its words", "[bench]") {
  CHECK(Refusal(Service::kSmtp, {"554 no\r\n"}) == "greeting: 554 no");
  CHECK(Refusal(Service::kSmtp, {"220 x\r\n", "250 SIZE 9\r\n"}) == "not offered: 250 SIZE 9");
  CHECK(Refusal(Service::kSmtp, {"220 x\r\n", "250 STARTTLS\r\n", "454 later\r\n"}) ==
        "refused: 454 later");
  CHECK(Refusal(Service::kImap, {"* BYE full\r\n"}) == "greeting: * BYE full");
  CHECK(Refusal(Service::kImap, {"* OK\r\n", "a BAD what\r\n"}) == "refused: a BAD what");
  CHECK(Refusal(Service::kPop3, {"+OK\r\n", "-ERR what\r\n"}) == "refused: -ERR what");
}

TEST_CASE("Octets behind the reply would have come unprotected", "[bench]") {
  CHECK_FALSE(Refusal(Service::kPop3, {"+OK\r\n", "+OK\r\n+OK injected\r\n"}).empty());
  CHECK_FALSE(Refusal(Service::kImap, {"* OK\r\n", "a OK\r\nx"}).empty());
}

TEST_CASE("A line without an end is not kept for ever", "[bench]") {
  CHECK_FALSE(Refusal(Service::kPop3, {std::string(10'000, '+')}).empty());
}
