// IMAP before TLS: RFC 9051 section 6.2.1, and RFC 3501's, which clients speak as well.
//
// CAPABILITY names what Postern itself can stand for. What the back end can do the client learns
// after TLS, when it has to ask again (RFC 9051 section 6.2.1), or when it has logged in.
#include <algorithm>
#include <array>
#include <string>

#include "mail/literal_dialog.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

enum class Verb : uint8_t { kCapability, kNoop, kLogout, kId, kStartTls, kLogin };

struct Row {
  std::string_view name;
  Verb verb;
};

constexpr std::array<Row, 7> kCommands = {{
    {"CAPABILITY", Verb::kCapability},
    {"NOOP", Verb::kNoop},
    {"LOGOUT", Verb::kLogout},
    {"ID", Verb::kId},
    {"STARTTLS", Verb::kStartTls},
    {"LOGIN", Verb::kLogin},
    {"AUTHENTICATE", Verb::kLogin},
}};

// RFC 9051 section 9: tag = 1*<any ASTRING-CHAR except "+">.
bool IsTagCharacter(char octet) {
  return octet > ' ' && octet < '\x7F' &&
         std::string_view("(){%*\"\\+").find(octet) == std::string_view::npos;
}

// RFC 2971 section 3.1: NIL, or a list of pairs; the second of each may be NIL.
bool IsIdList(std::string_view text) {
  if (EqualsIgnoringCase(text, "NIL")) return true;
  if (!text.starts_with('(') || !text.ends_with(')')) return false;
  text.remove_prefix(1);
  while (!text.starts_with(')')) {
    if (!TakeString(text) || !text.starts_with(' ')) return false;
    text.remove_prefix(1);
    if (EqualsIgnoringCase(text.substr(0, 3), "NIL")) {
      text.remove_prefix(3);
    } else if (!TakeString(text)) {
      return false;
    }
    if (text.starts_with(' ')) {
      text.remove_prefix(1);
      if (text.starts_with(')')) return false;
    } else if (!text.starts_with(')')) {
      return false;
    }
  }
  return text == ")";
}

class ImapClientDialog final : public LiteralDialog {
 public:
  explicit ImapClientDialog(const DialogRules& rules) : LiteralDialog(rules) {}

  void Greet(std::string& reply) override {
    reply.append("* OK [CAPABILITY ").append(Capabilities()).append("] ");
    reply.append(rules().host_name).append(" ready\r\n");
  }

 private:
  Verdict Begin(std::string_view line, std::string& reply) override;
  bool AskFor(std::string& reply) override;
  Verdict CarryOut(std::string_view command, std::string& reply) override;
  Verdict CarryOut(Verb verb, std::string_view arguments, std::string& reply);

  void RefuseLine(LineFault fault, std::string& reply) override {
    reply.append("* BAD ").append(Describe(fault)).append("\r\n");
  }
  void SayStartTls(std::string& reply) override { Tagged("OK Begin TLS negotiation now", reply); }
  void SayGoodbye(DialogEnd end, std::string& reply) override {
    reply.append("* BYE ").append(Describe(end)).append("\r\n");
  }

  std::string_view Capabilities() const {
    return rules().require_tls ? "IMAP4rev1 ID STARTTLS LOGINDISABLED" : "IMAP4rev1 ID STARTTLS";
  }
  void Tagged(std::string_view text, std::string& reply) const {
    reply.append(tag_).append(" ").append(text).append("\r\n");
  }
  Verdict Answer(std::string_view text, std::string& reply) const {
    Tagged(text, reply);
    return Verdict::kAnswered;
  }
  Verdict Refuse(std::string_view text, std::string& reply) const {
    Tagged(text, reply);
    return Verdict::kRefused;
  }

  std::string tag_;  // of the last command
  const Row* row_ = nullptr;
};

TextDialog::Verdict ImapClientDialog::Begin(std::string_view line, std::string& reply) {
  const std::string_view tag = TakeWord(line);
  if (tag.empty() || !std::ranges::all_of(tag, IsTagCharacter)) {
    // There is nothing to repeat (RFC 9051 section 7.1.3).
    reply += "* BAD Not a tag\r\n";
    return Verdict::kRefused;
  }
  tag_ = tag;
  row_ = FindByName(std::span<const Row>(kCommands), TakeWord(line));
  if (row_ != nullptr && row_->verb == Verb::kLogin && !rules().require_tls) return Verdict::kPlain;
  return Verdict::kAnswered;
}

bool ImapClientDialog::AskFor(std::string& reply) {
  // No other command is carried out with arguments.
  if (row_ == nullptr || row_->verb != Verb::kId) return false;
  reply += "+ Go on\r\n";
  return true;
}

TextDialog::Verdict ImapClientDialog::CarryOut(std::string_view command, std::string& reply) {
  TakeWord(command);
  const std::string_view name = TakeWord(command);
  if (row_ == nullptr) {
    return Refuse(
        name.empty() ? "BAD A command is missing" : "BAD Unknown command, or not before login",
        reply);
  }
  // A space with nothing behind it is an argument too many as well.
  const bool has_arguments = name.data() + name.size() != command.data() + command.size();
  if (row_->verb != Verb::kId && row_->verb != Verb::kLogin && has_arguments) {
    return Refuse("BAD No argument belongs here", reply);
  }
  return CarryOut(row_->verb, command, reply);
}

TextDialog::Verdict ImapClientDialog::CarryOut(Verb verb, std::string_view arguments,
                                               std::string& reply) {
  switch (verb) {
    case Verb::kCapability:
      reply.append("* CAPABILITY ").append(Capabilities()).append("\r\n");
      return Answer("OK CAPABILITY completed", reply);
    case Verb::kNoop:
      return Answer("OK NOOP completed", reply);
    case Verb::kLogout:
      reply += "* BYE Goodbye\r\n";
      Tagged("OK LOGOUT completed", reply);
      return Verdict::kQuit;
    case Verb::kId:
      if (!IsIdList(arguments)) return Refuse("BAD ID takes NIL or a list of strings", reply);
      reply += "* ID NIL\r\n";
      return Answer("OK ID completed", reply);
    case Verb::kStartTls:
      return Verdict::kStartTls;
    case Verb::kLogin:
      // RFC 5530 section 3.
      return Refuse("NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS", reply);
  }
  return Verdict::kRefused;
}

}  // namespace

std::unique_ptr<ClientDialog> MakeImapClientDialog(const DialogRules& rules) {
  return std::make_unique<ImapClientDialog>(rules);
}

}  // namespace postern::mail
