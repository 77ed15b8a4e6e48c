// Fuzzing of the gate. The input's first octet chooses protocol, greeting and chunks; the rest is
// what the server says, and behind each octet 0xFF, up to 0xFE, what the client says.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/check.h"
#include "postern/mail/gate.h"

using namespace postern::mail;

namespace {

struct Passed {
  std::string to_server;
  std::string to_client;
  unsigned failed = 0;
  bool over = false;
  bool operator==(const Passed&) const = default;
};

// Each octet in memory of its own or, with `pace` 0, a whole turn: a look beyond the end is seen.
Passed Play(const GateRules& rules, std::string_view script, size_t pace, std::string& said) {
  const std::unique_ptr<Gate> gate = MakeGate(rules);
  Passed passed;
  while (!script.empty()) {
    const bool client = script.front() == '\xFF';
    if (client) script.remove_prefix(1);
    const size_t end = script.find(client ? '\xFE' : '\xFF');
    std::string_view turn = script.substr(0, end);
    script.remove_prefix(end == std::string_view::npos ? script.size() : end + (client ? 1 : 0));
    while (!turn.empty() && !gate->over()) {
      std::vector<char> piece(
          turn.begin(), turn.begin() + static_cast<ptrdiff_t>(
                                           pace == 0 ? turn.size() : std::min(pace, turn.size())));
      turn.remove_prefix(piece.size());
      if (client) {
        said.append(piece.data(), piece.size());
        std::string before;
        const size_t may_go = gate->TakeClient(std::as_writable_bytes(std::span(piece)), before);
        POSTERN_CHECK(may_go <= piece.size());
        passed.to_server.append(before).append(piece.data(), may_go);
      } else {
        passed.failed +=
            gate->TakeServer(postern::AsBytes({piece.data(), piece.size()}), passed.to_client);
      }
    }
  }
  passed.over = gate->over();
  passed.to_server += gate->LastOfClient();
  passed.to_client += gate->LastOfServer();
  return passed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  constexpr std::array<DialogProtocol, 5> kProtocols = {
      DialogProtocol::kImap, DialogProtocol::kPop3, DialogProtocol::kSmtp, DialogProtocol::kSieve,
      DialogProtocol::kLmtp};
  const GateRules rules = {.protocol = kProtocols[(data[0] & 7) % kProtocols.size()],
                           .greeted = (data[0] & 8) != 0,
                           .chunking = (data[0] & 16) != 0};
  const std::string_view script = postern::AsText(std::as_bytes(std::span(data, size))).substr(1);
  std::string said;
  const Passed whole = Play(rules, script, 0, said);
  // To the server nothing is added, moved or left out, and only a verb's letters are others.
  POSTERN_CHECK(whole.to_server.size() == said.size());
  for (size_t i = 0; i < said.size(); ++i) {
    POSTERN_CHECK(whole.to_server[i] == said[i] || whole.to_server[i] == 'X');
  }
  if (whole.over) return 0;  // cut elsewhere, other octets come before it is
  POSTERN_CHECK(Play(rules, script, 1, said) == whole);
  POSTERN_CHECK(Play(rules, script, 3, said) == whole);
  return 0;
}
