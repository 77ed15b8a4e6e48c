// Fuzzing of the answer to plain HTTP requests: what anybody sends to a TLS port.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/mail/http_redirect.h"

using postern::Bytes;
using namespace postern::mail;

namespace {

using State = HttpRedirect::State;

// The reply is a head of whole lines in printable ASCII, then one of two fixed bodies or none.
void CheckReply(std::string_view reply, const RedirectRules& rules) {
  const size_t end = reply.find("\r\n\r\n");
  POSTERN_CHECK(end != std::string_view::npos);
  const std::string_view body = reply.substr(end + 4);
  POSTERN_CHECK(body.empty() || body.starts_with("This address is served over TLS"));
  std::string_view head = reply.substr(0, end + 2);
  size_t locations = 0;
  for (size_t i = 0; i < head.size(); ++i) {
    const bool line_end =
        head[i] == '\r' ? head[i + 1] == '\n' : head[i] == '\n' && i > 0 && head[i - 1] == '\r';
    POSTERN_CHECK(line_end || (head[i] >= ' ' && head[i] < '\x7F'));
  }
  for (size_t at = 0; (at = head.find("\r\nLocation: ", at)) != std::string_view::npos; ++at) {
    std::string_view target = head.substr(at + 12);
    target = target.substr(0, target.find("\r\n"));
    POSTERN_CHECK(target.starts_with("https://"));
    // No more than one host, and the listener's port behind it.
    const std::string_view authority = target.substr(8, target.find('/', 8) - 8);
    POSTERN_CHECK(authority.find_first_of("@\\ ") == std::string_view::npos && !authority.empty());
    POSTERN_CHECK(rules.port == 443 || authority.ends_with(":8443"));
    ++locations;
  }
  POSTERN_CHECK(locations <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes wire = std::as_bytes(std::span(data, size));
  for (const RedirectRules& rules : {RedirectRules{443, "web.example.com", std::nullopt},
                                     RedirectRules{8443, "", std::chrono::sys_seconds()}}) {
    const HttpRedirect verdict = RedirectToHttps(wire, rules);
    POSTERN_CHECK(verdict.reply.empty() == (verdict.state == State::kNeedMore));
    POSTERN_CHECK(verdict.state != State::kNeedMore || size < postern::limits::kMaxHttpHead);
    if (verdict.state != State::kNeedMore) CheckReply(verdict.reply, rules);
    // A verdict stands, whatever follows.
    for (size_t front = 0; front < size && front <= 200; ++front) {
      const HttpRedirect early = RedirectToHttps(wire.first(front), rules);
      if (early.state == State::kNeedMore) continue;
      POSTERN_CHECK(early.state == verdict.state && early.reply == verdict.reply);
    }
  }
  return 0;
}
