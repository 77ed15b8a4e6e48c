#include "postern/mail/replies.h"

#include <string>

#include "tests/unit/catch.h"

namespace postern::mail {

TEST_CASE("replies: each protocol's own words, whole lines") {
  for (const auto protocol : {Protocol::kImap, Protocol::kPop3, Protocol::kSmtp, Protocol::kSieve,
                              Protocol::kHttp, Protocol::kRaw}) {
    for (const auto occasion :
         {Occasion::kBackendUnavailable, Occasion::kShutdown, Occasion::kIdle,
          Occasion::kSpokeFirst, Occasion::kDialogTimeout, Occasion::kTooManyConnections,
          Occasion::kTooManyFailures, Occasion::kDenied}) {
      const std::string_view reply = Reply(protocol, occasion);
      if (!reply.empty()) CHECK(reply.ends_with("\r\n"));
    }
  }
  CHECK(Reply(Protocol::kImap, Occasion::kBackendUnavailable).starts_with("* BYE [UNAVAILABLE]"));
  CHECK(Reply(Protocol::kPop3, Occasion::kBackendUnavailable).starts_with("-ERR [SYS/TEMP]"));
  CHECK(Reply(Protocol::kSmtp, Occasion::kBackendUnavailable).starts_with("421 4.4.1 "));
  CHECK(Reply(Protocol::kSmtp, Occasion::kShutdown).starts_with("421 4.3.2 "));
  CHECK(Reply(Protocol::kRaw, Occasion::kBackendUnavailable).empty());
  CHECK(Reply(Protocol::kSmtp, Occasion::kSpokeFirst).starts_with("554 5.5.0 "));
  CHECK(Reply(Protocol::kImap, Occasion::kSpokeFirst).empty());
  CHECK(Reply(Protocol::kSmtp, Occasion::kDialogTimeout).starts_with("421 4.4.2 "));
  CHECK(Reply(Protocol::kImap, Occasion::kDialogTimeout).starts_with("* BYE "));
  CHECK(Reply(Protocol::kPop3, Occasion::kDialogTimeout).starts_with("-ERR "));
  CHECK(Reply(Protocol::kSieve, Occasion::kDialogTimeout).starts_with("BYE \""));
  CHECK(Reply(Protocol::kHttp, Occasion::kDialogTimeout).empty());
  // RFC 1939 section 3: no response at autologout.
  CHECK(Reply(Protocol::kPop3, Occasion::kIdle).empty());
}

TEST_CASE("replies: who is refused is told when to come again, or not to") {
  struct Case {
    Protocol protocol;
    const char* later;
    const char* never;
  };
  const Case cases[] = {{Protocol::kImap, "* BYE [UNAVAILABLE] ", "* BYE Your"},
                        {Protocol::kPop3, "-ERR [SYS/TEMP] ", "-ERR [SYS/PERM] "},
                        {Protocol::kSmtp, "421 4.7.0 ", "554 5.7.1 "},
                        {Protocol::kSieve, "BYE (TRYLATER) ", "BYE \""},
                        {Protocol::kHttp, "HTTP/1.1 ", "HTTP/1.1 403 "}};
  for (const Case& test : cases) {
    CHECK(Reply(test.protocol, Occasion::kTooManyConnections).starts_with(test.later));
    CHECK(Reply(test.protocol, Occasion::kTooManyFailures).starts_with(test.later));
    CHECK(Reply(test.protocol, Occasion::kDenied).starts_with(test.never));
  }
}

TEST_CASE("replies: pages are as long as they say") {
  const auto occasion = GENERATE(Occasion::kBackendUnavailable, Occasion::kTooManyConnections,
                                 Occasion::kTooManyFailures, Occasion::kDenied);
  const std::string_view reply = Reply(Protocol::kHttp, occasion);
  const size_t head = reply.find("\r\n\r\n");
  REQUIRE(head != std::string_view::npos);
  const size_t body = reply.size() - head - 4;
  CHECK(reply.find("Content-Length: " + std::to_string(body) + "\r\n") != std::string_view::npos);
}

}  // namespace postern::mail
