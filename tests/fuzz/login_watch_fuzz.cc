// Fuzzing of what reads logins along. The input's first octet chooses protocol and greeting; the
// rest is what the server says, and behind each octet 0xFF, up to 0xFE, what the client says.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "postern/base/check.h"
#include "postern/mail/login_watch.h"

using namespace postern::mail;

namespace {

struct Seen {
  unsigned failed = 0;
  bool over = false;
  bool operator==(const Seen&) const = default;
};

// Each octet in memory of its own or, with `pace` 0, a whole turn: a look beyond the end is seen.
Seen Play(DialogProtocol protocol, bool greeted, std::string_view script, size_t pace) {
  const std::unique_ptr<LoginWatch> watch = WatchLogins(protocol, greeted);
  Seen seen;
  while (!script.empty()) {
    const bool client = script.front() == '\xFF';
    if (client) script.remove_prefix(1);
    const size_t end = script.find(client ? '\xFE' : '\xFF');
    std::string_view turn = script.substr(0, end);
    script.remove_prefix(end == std::string_view::npos ? script.size() : end + (client ? 1 : 0));
    while (!turn.empty() && !watch->over()) {
      const std::string_view piece = turn.substr(0, pace == 0 ? turn.size() : pace);
      turn.remove_prefix(piece.size());
      const std::vector<char> exact(piece.begin(), piece.end());
      const postern::Bytes octets = postern::AsBytes({exact.data(), exact.size()});
      if (client) watch->TakeClient(octets);
      if (!client) seen.failed += watch->TakeServer(octets);
    }
  }
  seen.over = watch->over();
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  constexpr std::array<DialogProtocol, 4> kProtocols = {
      DialogProtocol::kImap, DialogProtocol::kPop3, DialogProtocol::kSmtp, DialogProtocol::kSieve};
  const DialogProtocol protocol = kProtocols[data[0] % kProtocols.size()];
  const bool greeted = (data[0] & 4) != 0;
  const std::string_view script = postern::AsText(std::as_bytes(std::span(data, size))).substr(1);
  const Seen whole = Play(protocol, greeted, script, 0);
  // No login fails without an answer that has a line.
  POSTERN_CHECK(whole.failed <= static_cast<size_t>(std::ranges::count(script, '\n')));
  POSTERN_CHECK(Play(protocol, greeted, script, 1) == whole);
  POSTERN_CHECK(Play(protocol, greeted, script, 3) == whole);
  return 0;
}
