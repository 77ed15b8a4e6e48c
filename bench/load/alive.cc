// Used where nothing of a greeting can be waited for: by idle at the end of holding, and after
// STARTTLS, when the greeting has come before TLS (RFC 9051 section 6.2.1, RFC 3207, RFC 2595) and
// only a question shows that the server behind is reached.
#include "bench/load/alive.h"

namespace postern::bench {
namespace {

// What an answer's line begins with; the wire server's is it whole.
std::string_view Answer(Service service) {
  switch (service) {
    case Service::kRaw:
    case Service::kHttp:
      return "alive";
    case Service::kImap:
      return "b OK";
    case Service::kPop3:
      return "+OK";
    case Service::kSmtp:
      return "250";
  }
  return "";
}

}  // namespace

std::string_view AliveQuestion(Service service) {
  switch (service) {
    case Service::kRaw:
    case Service::kHttp:
      return "ECHO\nalive\n";
    case Service::kImap:
      return "b NOOP\r\n";  // "a" was STARTTLS's tag
    case Service::kPop3:
      return "QUIT\r\n";
    case Service::kSmtp:
      return "NOOP\r\n";
  }
  return "";
}

AliveAnswer ReadAliveAnswer(Service service, std::string_view text) {
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    if (text.starts_with(Answer(service))) return AliveAnswer::kRight;
    // An untagged line may come before IMAP's answer; anything else is wrong.
    if (service != Service::kImap || !text.starts_with("* ")) return AliveAnswer::kWrong;
  }
  return AliveAnswer::kMore;
}

}  // namespace postern::bench
