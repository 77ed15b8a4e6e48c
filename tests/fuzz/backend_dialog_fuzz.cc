// Fuzzing of the dialogs with servers. The input's first two octets choose protocol and rules; the
// rest is what the server says, and behind each octet 0xFF, up to 0xFE, what the client says. An
// octet 0xFD means that the handshake is over. With a bit of the rules two texts come first, each
// behind an octet with its length: what the client said in EHLO, and who it has proved to be.
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
#include "postern/base/limits.h"
#include "postern/mail/backend_dialog.h"

using postern::Bytes;
using namespace postern::mail;

namespace {

using Next = BackendDialog::Next;
using Step = BackendDialog::Step;

struct Side {
  std::string said;  // by it, not consumed
  std::string to;    // all that Postern says to it
  bool operator==(const Side&) const = default;
};

struct Outcome {
  Step last;
  Side server;
  Side client;
  std::string detail;
  bool early = false;  // the server spoke while the client was to
};

bool Over(const Step& step) { return step.next == Next::kReady || step.next == Next::kFailed; }

// Take offers what is there, in memory of its own, so that a look beyond the end is seen.
void Take(BackendDialog& dialog, bool server, Outcome& outcome) {
  std::string& wire = server ? outcome.server.said : outcome.client.said;
  const std::vector<char> exact(wire.begin(), wire.end());
  const Bytes octets = postern::AsBytes({exact.data(), exact.size()});
  outcome.last = server ? dialog.TakeServer(octets, outcome.server.to, outcome.client.to)
                        : dialog.TakeClient(octets, outcome.server.to, outcome.client.to);
  POSTERN_CHECK(outcome.last.consumed <= wire.size());
  wire.erase(0, outcome.last.consumed);
  POSTERN_CHECK((outcome.last.failure == BackendFailure::kNone) ==
                (outcome.last.next != Next::kFailed));
  POSTERN_CHECK(outcome.last.next != Next::kStartTls || wire.empty());
  POSTERN_CHECK(outcome.last.next != Next::kMore || !server ||
                wire.size() < postern::limits::kMaxDialogLine);
}

void CheckDetail(const Outcome& outcome) {
  POSTERN_CHECK((outcome.last.next == Next::kFailed) == !outcome.detail.empty());
  POSTERN_CHECK(outcome.detail.size() < 512);
  for (const char octet : outcome.detail) POSTERN_CHECK(octet >= ' ' && octet < '\x7F');
}

// Nothing of a client's own texts ends a line of XCLIENT or stands there as it may not.
void CheckXclient(std::string_view said) {
  while (!said.empty()) {
    const std::string_view line = said.substr(0, said.find("\r\n"));
    said.remove_prefix(std::min(said.size(), line.size() + 2));
    if (!line.starts_with("XCLIENT")) continue;
    POSTERN_CHECK(line.size() <= 510);
    for (const char octet : line) POSTERN_CHECK(octet >= ' ' && octet < '\x7F');
  }
}

// TakeText takes a text behind its length.
std::string_view TakeText(std::string_view& script) {
  if (script.empty()) return {};
  const auto size = static_cast<unsigned char>(script.front());
  const std::string_view text = script.substr(1, size);
  script.remove_prefix(1 + text.size());
  return text;
}

// What Postern says by itself are lines, and the client hears nothing before TLS stands where it
// is asked for.
void CheckWords(const BackendRules& rules, bool secured, const Outcome& outcome) {
  POSTERN_CHECK(outcome.server.to.empty() || outcome.server.to.ends_with("\r\n"));
  POSTERN_CHECK(outcome.client.to.empty() || outcome.client.to.ends_with("\r\n"));
  if (rules.starttls && !secured) {
    POSTERN_CHECK(outcome.client.to.empty());
    POSTERN_CHECK(outcome.last.next != Next::kReady);
    POSTERN_CHECK(outcome.server.to.find("XCLIENT") == std::string::npos);
  }
}

Outcome Play(const BackendRules& rules, std::string_view script, bool by_octet) {
  Outcome outcome;
  const std::unique_ptr<BackendDialog> dialog = MakeBackendDialog(rules);
  if (dialog == nullptr) return outcome;
  bool secured = false;
  while (!script.empty() && !Over(outcome.last)) {
    const bool client = script.front() == '\xFF';
    if (client) script.remove_prefix(1);
    const char stop = client ? '\xFE' : '\xFF';
    const size_t end = std::min(script.find(stop), client ? script.size() : script.find('\xFD'));
    std::string_view turn = script.substr(0, end);
    const bool tls = !client && end < script.size() && script[end] == '\xFD';
    script.remove_prefix(std::min(script.size(), turn.size() + (client || tls ? 1 : 0)));
    (client ? outcome.client : outcome.server).said += by_octet ? "" : turn;
    do {
      if (by_octet && !turn.empty()) {
        (client ? outcome.client : outcome.server).said += turn.front();
        turn.remove_prefix(1);
      }
      if (outcome.last.next == Next::kStartTls) break;
      if (!client) {
        Take(*dialog, true, outcome);
        outcome.early = outcome.last.next == Next::kReady && dialog->wants_client();
      }
      while (outcome.last.next == Next::kMore && dialog->wants_client() &&
             !outcome.client.said.empty()) {
        const size_t before = outcome.client.said.size();
        Take(*dialog, false, outcome);
        if (outcome.client.said.size() == before) break;
      }
      outcome.detail = dialog->failure_detail();
      CheckWords(rules, secured, outcome);
    } while (by_octet && !turn.empty() && !Over(outcome.last));
    (client ? outcome.client : outcome.server).said += by_octet ? turn : "";
    if (tls && outcome.last.next == Next::kStartTls) {
      outcome.server.said.clear();
      outcome.last = dialog->Secured(outcome.server.to, outcome.client.to);
      secured = true;
      outcome.detail = dialog->failure_detail();
      CheckWords(rules, secured, outcome);
    }
  }
  CheckDetail(outcome);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  constexpr std::array<DialogProtocol, 5> kProtocols = {
      DialogProtocol::kImap, DialogProtocol::kPop3, DialogProtocol::kSmtp, DialogProtocol::kLmtp,
      DialogProtocol::kSieve};
  BackendRules rules{.protocol = kProtocols[data[0] % kProtocols.size()],
                     .host_name = "front.example.com"};
  rules.starttls = (data[1] & 1) != 0;
  rules.identify = (data[1] & 2) != 0;
  rules.greet_client = (data[1] & 4) != 0;
  rules.filter_ehlo = (data[1] & 8) != 0;
  rules.replay = (data[1] & 16) != 0 ? "EHLO client.example" : "";
  rules.probe = (data[1] & 32) != 0;
  rules.client = {.address = "192.0.2.7", .port = 4711, .session_id = "s1"};
  std::string_view script = postern::AsText(std::as_bytes(std::span(data, size))).substr(2);
  if ((data[1] & 64) != 0) {
    rules.client.hello = TakeText(script);
    rules.client.login = TakeText(script);
  }
  const Outcome whole = Play(rules, script, false);
  const Outcome cut = Play(rules, script, true);
  if (!rules.filter_ehlo) CheckXclient(whole.server.to);  // or a client's own words are there, too
  // Octets that nobody asked for are seen for what they are only when they come with those before.
  // One that comes later is taken for the answer to what the client has said meanwhile.
  if (whole.early || whole.last.failure == BackendFailure::kInjection ||
      whole.last.failure == BackendFailure::kProtocol) {
    return 0;
  }
  POSTERN_CHECK(cut.last.next == whole.last.next && cut.last.failure == whole.last.failure);
  POSTERN_CHECK(cut.server == whole.server && cut.client == whole.client);
  POSTERN_CHECK(cut.detail == whole.detail);
  return 0;
}
