#include "bench/load/mail_script.h"

#include <string>
#include <vector>

#include "bench/load/mail_responder.h"
#include "tests/unit/catch.h"

namespace postern::bench {
namespace {

const Login kLogin = {.name = "us\"er", .password = "pass\\word"};

// What came of a session against our own server, given to the client in pieces of `piece` octets.
struct Session {
  bool done = false;
  std::string failed;
  std::string said;  // by the client
  int rests = 0;
};

Session Run(MailScript& script, Service service, size_t piece, bool greeted = true) {
  MailResponder server(service);
  Session session;
  std::string to_client = greeted ? std::string(server.Greeting()) : std::string();
  std::string to_server = greeted ? std::string() : script.Begin();
  for (int turn = 0; turn < 1000 && !session.done && session.failed.empty(); ++turn) {
    session.said += to_server;
    for (size_t end = to_server.find("\r\n"); end != std::string::npos;
         end = to_server.find("\r\n")) {
      to_client += server.Take(to_server.substr(0, end)).text;
      to_server.erase(0, end + 2);
    }
    const std::string some = to_client.substr(0, piece);
    to_client.erase(0, some.size());
    const MailScript::Outcome outcome = script.Take(some);
    to_server += outcome.send;
    if (outcome.rest) {
      ++session.rests;
      to_server += script.Rested();
    }
    session.done = outcome.done;
    session.failed = outcome.failed;
    if (some.empty() && to_server.empty()) break;
  }
  return session;
}

}  // namespace

TEST_CASE("bench mail script: a session of each service goes from greeting to goodbye") {
  for (const size_t piece : {size_t{7}, size_t{1'000'000}}) {
    MailScript imap(Service::kImap, kLogin);
    const Session one = Run(imap, Service::kImap, piece);
    CHECK(one.failed == "");
    // Cut into pieces of seven octets, 1,000 turns are not enough for two messages.
    if (piece > 7) {
      CHECK(one.done);
      CHECK(one.rests == MailScript::kIdleRounds);
      CHECK(imap.messages() == MailScript::kIdleRounds / 2);
    }
    CHECK(one.said.starts_with("a1 LOGIN \"us\\\"er\" \"pass\\\\word\"\r\na2 SELECT INBOX\r\n"));

    MailScript pop3(Service::kPop3, {"user", "secret"});
    const Session two = Run(pop3, Service::kPop3, piece);
    CHECK(two.failed == "");
    CHECK(two.done);
    CHECK(pop3.messages() == 1);
    CHECK(two.said == "USER user\r\nPASS secret\r\nSTAT\r\nRETR 1\r\nQUIT\r\n");

    MailScript smtp(Service::kSmtp, {"user", "secret"});
    const Session three = Run(smtp, Service::kSmtp, piece);
    CHECK(three.failed == "");
    CHECK(three.done);
    CHECK(smtp.messages() == 1);
    // RFC 4616: "\0user\0secret".
    CHECK(three.said.find("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n") != std::string::npos);
    CHECK(three.said.find("RCPT TO:<user@localhost>\r\n") != std::string::npos);
  }
}

TEST_CASE("bench mail script: after STARTTLS the client speaks first") {
  for (const Service service : {Service::kImap, Service::kPop3, Service::kSmtp}) {
    MailScript script(service, {"user", "secret"});
    const Session session = Run(script, service, 1'000'000, false);
    CHECK(session.failed == "");
    CHECK(session.done);
  }
}

TEST_CASE("bench mail script: a wrong answer ends the session and is quoted") {
  struct Case {
    Service service;
    std::vector<std::string> server;
    std::string quoted;
  };
  const std::vector<Case> cases = {
      {Service::kImap, {"* BYE full\r\n"}, "* BYE full"},
      {Service::kImap, {"* OK\r\n", "a1 NO wrong password\r\n"}, "a1 NO wrong password"},
      {Service::kImap, {"* OK\r\n", "a2 OK not yours\r\n"}, "a2 OK not yours"},
      {Service::kImap, {"* OK\r\n", "+ go on\r\n"}, "+ go on"},
      {Service::kImap, {"* OK\r\n", "* BYE now\r\n"}, "* BYE now"},
      {Service::kPop3, {"+OK\r\n", "-ERR no\r\n"}, "-ERR no"},
      {Service::kSmtp, {"220 hi\r\n", "250-a\r\n250 b\r\n", "535 no\r\n"}, "535 no"},
      {Service::kSmtp, {"554 go away\r\n"}, "554 go away"},
  };
  for (const Case& each : cases) {
    MailScript script(each.service, {"user", "secret"});
    std::string failed;
    for (const std::string& octets : each.server) failed = script.Take(octets).failed;
    CHECK(failed.find(each.quoted) != std::string::npos);
    CHECK(failed.find("secret") == std::string::npos);
  }
}

TEST_CASE("bench mail script: a line that does not end is given up") {
  MailScript script(Service::kImap, {});
  CHECK(script.Take(std::string(70'000, 'x')).failed == "mail: a line does not end");
}

TEST_CASE("bench mail script: a literal is passed over by its length, whatever is in it") {
  MailScript script(Service::kImap, {"user", "secret"});
  script.Take("* OK\r\n");
  script.Take("a1 OK\r\n");
  CHECK(script.Take("* 3 EXISTS\r\na2 OK\r\n").send == "a3 IDLE\r\n");
  CHECK(script.Take("+ idling\r\n").rest);
  CHECK(script.Rested() == "DONE\r\n");
  CHECK(script.Take("* 4 EXISTS\r\na3 OK\r\n").send == "a4 IDLE\r\n");
  script.Take("+ idling\r\n");
  script.Rested();
  CHECK(script.Take("a4 OK\r\n").send == "a5 FETCH 4 BODY.PEEK[]\r\n");
  CHECK(script.Take("* 4 FETCH (BODY[] {9}\r\na5 NO\r\n\r\n)\r\na5 OK\r\n").send == "a6 IDLE\r\n");
  CHECK(script.messages() == 1);
}

}  // namespace postern::bench
