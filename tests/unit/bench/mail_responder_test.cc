#include "bench/load/mail_responder.h"

#include "tests/unit/catch.h"

using namespace postern::bench;

namespace {

struct Exchange {
  std::string_view line;
  std::string_view begins;  // the answer
  bool ends = false;
};

void Plays(Service service, const std::vector<Exchange>& exchanges) {
  MailResponder responder(service);
  for (const Exchange& exchange : exchanges) {
    const MailResponder::Answer answer = responder.Take(exchange.line);
    INFO(exchange.line);
    CHECK(std::string_view(answer.text).starts_with(exchange.begins));
    CHECK(answer.text.empty() == exchange.begins.empty());
    CHECK(answer.ends == exchange.ends);
  }
}

}  // namespace

TEST_CASE("The responder speaks IMAP", "[bench]") {
  CHECK(MailResponder(Service::kImap).Greeting() == "* OK ready\r\n");
  Plays(Service::kImap, {{"1 LOGIN a b", "1 OK"},
                         {"2 select INBOX", "* FLAGS"},
                         {"3 IDLE", "+ "},
                         {"done", "3 OK"},
                         {"4 FETCH 1 BODY[]", "* 1 FETCH"},
                         {"5 DANCE", "5 BAD"},
                         {"", "* BAD"},
                         {"6 IDLE", "+ "},
                         {"7 NOOP", "6 BAD", true}});
  Plays(Service::kImap, {{"9 LOGOUT", "* BYE", true}});
}

TEST_CASE("An IMAP literal is as long as it says", "[bench]") {
  const std::string text = MailResponder(Service::kImap).Take("1 FETCH 1 BODY[]").text;
  const size_t open = text.find('{');
  const size_t size = std::stoul(text.substr(open + 1));
  CHECK(text.substr(text.find("\r\n", open) + 2 + size) == ")\r\n1 OK done\r\n");
}

TEST_CASE("The responder speaks POP3", "[bench]") {
  Plays(Service::kPop3, {{"USER a", "+OK"},
                         {"PASS b", "+OK"},
                         {"STAT", "+OK 1 "},
                         {"RETR 1", "+OK\r\nFrom:"},
                         {"XYZ", "-ERR"},
                         {"QUIT", "+OK", true}});
}

TEST_CASE("The responder speaks SMTP", "[bench]") {
  Plays(Service::kSmtp, {{"EHLO x", "250-"},
                         {"MAIL FROM:<>", "250"},
                         {"DATA", "354"},
                         {"QUIT", ""},
                         {".", "250"},
                         {"VRFY", "500"},
                         {"QUIT", "221", true}});
}

TEST_CASE("The responder speaks HTTP", "[bench]") {
  CHECK(MailResponder(Service::kHttp).Greeting().empty());
  Plays(Service::kHttp, {{"GET / HTTP/1.1", ""}, {"Host: x", ""}, {"", "HTTP/1.1 200"}});
}
