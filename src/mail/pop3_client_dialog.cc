// POP3 before TLS: RFC 2595 section 4, with CAPA of RFC 2449.
//
// The greeting has no timestamp, so there is no APOP: its digest is made over the greeting that the
// client heard, and the back end's is another. LANG and UTF8 (RFC 6856) are the back end's, once it
// is reached: after UTF8 a client may not ask for TLS any more, so whoever says it goes on without.
#include <algorithm>
#include <array>
#include <string>

#include "mail/text_dialog.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

enum class Verb : uint8_t { kCapa, kStls, kQuit, kLogin, kAuth, kPass, kApop, kUtf8 };

struct Row {
  std::string_view name;
  Verb verb;
};

constexpr std::array<Row, 9> kCommands = {{
    {"CAPA", Verb::kCapa},
    {"STLS", Verb::kStls},
    {"QUIT", Verb::kQuit},
    {"USER", Verb::kLogin},
    {"AUTH", Verb::kAuth},
    {"PASS", Verb::kPass},
    {"APOP", Verb::kApop},
    {"UTF8", Verb::kUtf8},
    {"LANG", Verb::kUtf8},
}};

class Pop3ClientDialog final : public TextDialog {
 public:
  explicit Pop3ClientDialog(const DialogRules& rules) : TextDialog(rules, LineEnds::kAnyLf) {}

  void Greet(std::string& reply) override {
    reply.append("+OK ").append(rules().host_name).append(" ready\r\n");
  }

 private:
  Verdict TakeLine(std::string_view line, std::string& reply) override;
  Verdict CarryOut(Verb verb, bool has_argument, std::string& reply);

  void RefuseLine(LineFault fault, std::string& reply) override {
    reply.append("-ERR ").append(Describe(fault)).append("\r\n");
  }
  void SayStartTls(std::string& reply) override { reply += "+OK Begin TLS negotiation now\r\n"; }
  void SayGoodbye(DialogEnd end, std::string& reply) override {
    reply.append("-ERR ").append(Describe(end)).append("\r\n");
  }

  Verdict Refuse(std::string_view line, std::string& reply) {
    reply.append(line).append("\r\n");
    return Verdict::kRefused;
  }
};

TextDialog::Verdict Pop3ClientDialog::TakeLine(std::string_view line, std::string& reply) {
  std::string_view argument = WithoutTrailingSpace(line);
  const std::string_view name = TakeWord(argument);
  const Row* row = FindByName(std::span<const Row>(kCommands), name);
  if (row == nullptr) return Refuse("-ERR Unknown command, or not before login", reply);
  return CarryOut(row->verb, !argument.empty(), reply);
}

TextDialog::Verdict Pop3ClientDialog::CarryOut(Verb verb, bool has_argument, std::string& reply) {
  // RFC 3206 section 4: an attempt to authenticate in violation of policy.
  constexpr std::string_view kNotInPlain = "-ERR [AUTH] Encryption is needed first: use STLS";
  const bool required = rules().require_tls;
  switch (verb) {
    case Verb::kCapa:
      if (has_argument) return Refuse("-ERR No argument belongs here", reply);
      // RFC 2595 section 4: no USER where it would be refused.
      reply.append("+OK Capability list follows\r\nSTLS\r\n")
          .append(required ? "" : "USER\r\n")
          .append("RESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n");
      return Verdict::kAnswered;
    case Verb::kStls:
      if (has_argument) return Refuse("-ERR No argument belongs here", reply);
      return Verdict::kStartTls;
    case Verb::kQuit:
      reply += "+OK Goodbye\r\n";
      return Verdict::kQuit;
    case Verb::kLogin:
      return required ? Refuse(kNotInPlain, reply) : Verdict::kPlain;
    case Verb::kAuth:
      if (required) return Refuse(kNotInPlain, reply);
      // An old way to ask for mechanisms, by clients that may ask for TLS next (RFC 5034 section 4
      // has CAPA for it).
      if (!has_argument) return Refuse("-ERR A mechanism is missing", reply);
      return Verdict::kPlain;
    case Verb::kPass:
      return Refuse(required ? kNotInPlain : "-ERR USER comes first", reply);
    case Verb::kApop:
      return Refuse(required ? kNotInPlain : "-ERR There is no APOP here", reply);
    case Verb::kUtf8:
      return required ? Refuse("-ERR Encryption is needed first: use STLS", reply)
                      : Verdict::kPlain;
  }
  return Verdict::kRefused;
}

}  // namespace

std::unique_ptr<ClientDialog> MakePop3ClientDialog(const DialogRules& rules) {
  return std::make_unique<Pop3ClientDialog>(rules);
}

}  // namespace postern::mail
