#include "postern/mail/replies.h"

#include <string>

#include "tests/unit/catch.h"

namespace postern::mail {

TEST_CASE("replies: each protocol's own words, whole lines") {
  for (const auto protocol : {Protocol::kImap, Protocol::kPop3, Protocol::kSmtp, Protocol::kSieve,
                              Protocol::kHttp, Protocol::kRaw}) {
    for (const auto occasion : {Occasion::kBackendUnavailable, Occasion::kShutdown, Occasion::kIdle,
                                Occasion::kSpokeFirst, Occasion::kDialogTimeout}) {
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

TEST_CASE("replies: the 502 page is as long as it says") {
  const std::string_view reply = Reply(Protocol::kHttp, Occasion::kBackendUnavailable);
  const size_t head = reply.find("\r\n\r\n");
  REQUIRE(head != std::string_view::npos);
  const size_t body = reply.size() - head - 4;
  CHECK(reply.find("Content-Length: " + std::to_string(body) + "\r\n") != std::string_view::npos);
}

}  // namespace postern::mail
