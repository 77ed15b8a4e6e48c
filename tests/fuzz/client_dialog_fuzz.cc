// Fuzzing of the dialogs with clients before TLS. The input's first octet chooses the protocol and
// whether TLS is required; the rest is what a client says.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/mail/client_dialog.h"

using postern::Bytes;
using namespace postern::mail;

namespace {

using Next = ClientDialog::Next;

struct Outcome {
  Next next = Next::kMore;
  DialogEnd end = DialogEnd::kNone;
  size_t consumed = 0;  // of all that was said
  std::string reply;
  std::string hello;
  bool operator==(const Outcome&) const = default;
};

// What a dialog says never has an octet that could be taken for another line.
void CheckReply(std::string_view reply) { POSTERN_CHECK(reply.empty() || reply.ends_with("\r\n")); }

// Play feeds `said` in pieces of `pace` octets, as a session does.
Outcome Play(const DialogRules& rules, Bytes said, size_t pace) {
  static const EhloKeywords kKeywords = {"PIPELINING", "AUTH PLAIN", "STARTTLS", "XCLIENT NAME"};
  const std::unique_ptr<ClientDialog> dialog = MakeClientDialog(rules);
  Outcome outcome;
  size_t given = 0;
  while (given < said.size()) {
    given = std::min(given + pace, said.size());
    do {
      // In memory of its own, so that a look beyond the end is seen.
      const Bytes wire = said.subspan(outcome.consumed, given - outcome.consumed);
      const std::vector<std::byte> exact(wire.begin(), wire.end());
      const ClientDialog::Step step = dialog->Take(exact, outcome.reply);
      POSTERN_CHECK(step.consumed <= exact.size());
      POSTERN_CHECK((step.end == DialogEnd::kNone) == (step.next != Next::kClose));
      outcome.consumed += step.consumed;
      outcome.next = step.next;
      outcome.end = step.end;
      if (step.next == Next::kKeywords) {
        dialog->AnswerEhlo(outcome.consumed % 2 == 0 ? &kKeywords : nullptr, outcome.reply);
      }
    } while (outcome.next == Next::kKeywords);
    CheckReply(outcome.reply);
    if (outcome.next != Next::kMore) break;
    POSTERN_CHECK(given - outcome.consumed < postern::limits::kMaxDialogLine);
  }
  outcome.hello = dialog->hello();
  // What is not read is nobody's; with STARTTLS and at the end it does not count what was left.
  if (outcome.next == Next::kStartTls || outcome.next == Next::kClose) outcome.consumed = 0;
  return outcome;
}

void CheckOutcome(const DialogRules& rules, Bytes said, const Outcome& outcome) {
  POSTERN_CHECK(!rules.require_tls || outcome.next != Next::kPlain);
  POSTERN_CHECK(outcome.hello.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  POSTERN_CHECK(outcome.reply.find("XCLIENT") == std::string::npos ||
                rules.protocol == DialogProtocol::kSieve ||
                rules.protocol == DialogProtocol::kImap);
  // The back end gets whole lines from their start.
  if (outcome.next == Next::kPlain && outcome.consumed > 0) {
    POSTERN_CHECK(said[outcome.consumed - 1] == std::byte{'\n'});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr std::array<DialogProtocol, 5> kProtocols = {
      DialogProtocol::kImap, DialogProtocol::kPop3, DialogProtocol::kSmtp, DialogProtocol::kLmtp,
      DialogProtocol::kSieve};
  const DialogRules rules{kProtocols[(data[0] >> 1) % kProtocols.size()], "mail.example.com",
                          (data[0] & 1) != 0};
  const Bytes said = std::as_bytes(std::span(data, size)).subspan(1);
  const Outcome whole = Play(rules, said, std::max<size_t>(said.size(), 1));
  CheckOutcome(rules, said, whole);
  for (const size_t pace : {size_t{1}, size_t{7}}) {
    const Outcome cut = Play(rules, said, pace);
    CheckOutcome(rules, said, cut);
    if (whole.end == DialogEnd::kInjection && cut.next == Next::kStartTls) {
      // Cut right behind STARTTLS: what follows runs into the handshake. The replies before it are
      // the same.
      const size_t common =
          std::mismatch(whole.reply.begin(), whole.reply.end(), cut.reply.begin(), cut.reply.end())
              .first -
          whole.reply.begin();
      POSTERN_CHECK(cut.reply.find('\n', common) == cut.reply.size() - 1);
      continue;
    }
    POSTERN_CHECK(cut == whole);
  }
  return 0;
}
