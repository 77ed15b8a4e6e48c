// SMTP (RFC 5321, RFC 3207) and LMTP (RFC 2033) before TLS.
//
// EHLO is answered with the back end's keywords, so that a client that goes on without TLS can use
// what it was told, and one that asks again after TLS hears the same and AUTH. The other commands
// that are answered here change nothing and tell nothing.
#include <algorithm>
#include <array>
#include <string>

#include "mail/ehlo_keywords.h"
#include "mail/text_dialog.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

// RFC 5321 section 4.5.3.1.2: a domain.
constexpr size_t kLongestHello = 255;

enum class Verb : uint8_t {
  kEhlo,  // and LHLO
  kHelo,
  kStartTls,
  kNoop,
  kRset,
  kVrfy,
  kHelp,
  kQuit,
  kAuth,
  kBackend,        // the back end's, where TLS is not required
  kInTransaction,  // makes sense after MAIL alone
};

enum Flag : unsigned {
  kSmtpOnly = 1,
  kLmtpOnly = 2,
  kNoArgument = 4,
  kArgument = 8,
  kBeforeTls = 16,  // answered where TLS is required
};

struct Row {
  std::string_view name;
  Verb verb;
  unsigned flags;
};

constexpr std::array<Row, 17> kCommands = {{
    {"EHLO", Verb::kEhlo, kSmtpOnly | kArgument | kBeforeTls},
    {"HELO", Verb::kHelo, kSmtpOnly | kArgument | kBeforeTls},
    {"LHLO", Verb::kEhlo, kLmtpOnly | kArgument | kBeforeTls},
    {"STARTTLS", Verb::kStartTls, kNoArgument | kBeforeTls},
    {"NOOP", Verb::kNoop, kBeforeTls},
    {"RSET", Verb::kRset, kNoArgument | kBeforeTls},
    {"VRFY", Verb::kVrfy, kArgument | kBeforeTls},
    {"HELP", Verb::kHelp, kBeforeTls},
    {"QUIT", Verb::kQuit, kNoArgument | kBeforeTls},
    {"AUTH", Verb::kAuth, 0},
    {"MAIL", Verb::kBackend, kArgument},
    {"EXPN", Verb::kBackend, kArgument},
    {"ETRN", Verb::kBackend, kSmtpOnly | kArgument},
    {"RCPT", Verb::kInTransaction, 0},
    {"DATA", Verb::kInTransaction, 0},
    {"BDAT", Verb::kInTransaction, 0},
    {"BURL", Verb::kInTransaction, 0},
}};

bool IsPrintable(char octet) { return octet >= ' ' && octet < '\x7F'; }

class SmtpClientDialog final : public TextDialog {
 public:
  explicit SmtpClientDialog(const DialogRules& rules) : TextDialog(rules, LineEnds::kCrLf) {}

  void Greet(std::string& reply) override {
    reply.append("220 ").append(rules().host_name).append(is_lmtp() ? " LMTP\r\n" : " ESMTP\r\n");
  }

  void AnswerEhlo(const EhloKeywords* keywords, std::string& reply) override;
  std::string_view hello() const override { return hello_; }
  bool extended_hello() const override { return extended_; }

 private:
  Verdict TakeLine(std::string_view line, std::string& reply) override;
  void RefuseLine(LineFault fault, std::string& reply) override {
    reply.append("500 5.5.2 ").append(Describe(fault)).append("\r\n");
  }
  void SayStartTls(std::string& reply) override { reply += "220 2.0.0 Ready to start TLS\r\n"; }
  void SayGoodbye(DialogEnd end, std::string& reply) override;

  Verdict Refuse(std::string_view line, std::string& reply) {
    reply.append(line).append("\r\n");
    return Verdict::kRefused;
  }
  Verdict Answer(std::string_view line, std::string& reply) {
    reply.append(line).append("\r\n");
    return Verdict::kAnswered;
  }
  const Row* Find(std::string_view verb) const;
  Verdict CarryOut(Verb verb, std::string_view argument, std::string& reply);
  Verdict TakeHello(std::string_view name, bool extended, std::string& reply);
  bool is_lmtp() const { return rules().protocol == DialogProtocol::kLmtp; }

  std::string hello_;
  bool extended_ = false;
};

const Row* SmtpClientDialog::Find(std::string_view verb) const {
  return FindByName(std::span<const Row>(kCommands), verb);
}

TextDialog::Verdict SmtpClientDialog::TakeLine(std::string_view line, std::string& reply) {
  // RFC 5321 section 4.1.1: white space at the end is to be tolerated.
  std::string_view argument = WithoutTrailingSpace(line);
  const std::string_view verb = TakeWord(argument);
  const Row* row = Find(verb);
  const unsigned elsewhere = is_lmtp() ? kSmtpOnly : kLmtpOnly;
  // RFC 2033 section 4.1: HELO and EHLO are not LMTP's.
  if (row != nullptr && (row->flags & elsewhere) != 0) {
    return Refuse(is_lmtp() ? "500 5.5.1 This is LMTP: say LHLO" : "500 5.5.1 Unknown command",
                  reply);
  }
  // RFC 3207 section 4.
  if (rules().require_tls && (row == nullptr || (row->flags & kBeforeTls) == 0)) {
    return Refuse("530 5.7.0 Must issue a STARTTLS command first", reply);
  }
  if (row == nullptr) return Refuse("500 5.5.1 Unknown command", reply);
  if ((row->flags & kNoArgument) != 0 && !argument.empty()) {
    return Refuse("501 5.5.4 No argument belongs here", reply);
  }
  if ((row->flags & kArgument) != 0 && argument.empty()) {
    return Refuse("501 5.5.4 An argument is missing", reply);
  }
  // Internationalised addresses are the back end's to judge (RFC 6531); here nothing is but ASCII
  // (RFC 5321 section 2.4).
  if (row->verb != Verb::kBackend && !std::ranges::all_of(argument, IsPrintable)) {
    return Refuse("500 5.5.2 A character that is not ASCII", reply);
  }
  return CarryOut(row->verb, argument, reply);
}

TextDialog::Verdict SmtpClientDialog::CarryOut(Verb verb, std::string_view argument,
                                               std::string& reply) {
  switch (verb) {
    case Verb::kEhlo:
      return TakeHello(argument, true, reply);
    case Verb::kHelo:
      return TakeHello(argument, false, reply);
    case Verb::kStartTls:
      // An extension, so there is none before EHLO has offered it.
      if (!extended_) {
        return Refuse(is_lmtp() ? "503 5.5.1 LHLO comes first" : "503 5.5.1 EHLO comes first",
                      reply);
      }
      return Verdict::kStartTls;
    case Verb::kNoop:
    case Verb::kRset:
      return Answer("250 2.0.0 OK", reply);
    case Verb::kVrfy:
      // RFC 5321 section 3.5.3: what a server says that will not tell.
      return Answer("252 2.5.0 Cannot verify the user, but mail for it will be tried", reply);
    case Verb::kHelp:
      return Answer("214 2.0.0 See RFC 5321 and RFC 3207", reply);
    case Verb::kQuit:
      Answer("221 2.0.0 Goodbye", reply);
      return Verdict::kQuit;
    case Verb::kAuth:
      return Refuse("538 5.7.11 Encryption is needed first: use STARTTLS", reply);
    case Verb::kBackend:
      return Verdict::kPlain;
    case Verb::kInTransaction:
      return Refuse("503 5.5.1 MAIL comes first", reply);
  }
  return Verdict::kRefused;
}

TextDialog::Verdict SmtpClientDialog::TakeHello(std::string_view name, bool extended,
                                                std::string& reply) {
  if (name.size() > kLongestHello) return Refuse("501 5.5.4 The name is too long", reply);
  hello_ = name;
  extended_ = extended;
  if (extended) return Verdict::kKeywords;
  reply.append("250 ").append(rules().host_name).append("\r\n");
  return Verdict::kAnswered;
}

void SmtpClientDialog::AnswerEhlo(const EhloKeywords* keywords, std::string& reply) {
  HasKeywords();
  reply.append("250-").append(rules().host_name).append("\r\n");
  // RFC 2033 section 5: an LMTP server has these. The back end is one, even when it cannot be
  // asked.
  static const EhloKeywords kLmtpLeast = {"PIPELINING", "ENHANCEDSTATUSCODES"};
  if (keywords == nullptr && is_lmtp()) keywords = &kLmtpLeast;
  if (keywords != nullptr) {
    for (const std::string& keyword : *keywords) {
      if (!MayBeOffered(keyword, Channel::kPlain)) continue;
      reply.append("250-").append(keyword).append("\r\n");
    }
  }
  reply += "250 STARTTLS\r\n";
}

void SmtpClientDialog::SayGoodbye(DialogEnd end, std::string& reply) {
  const auto code = [end]() -> std::string_view {
    switch (end) {
      case DialogEnd::kNone:
      case DialogEnd::kQuit:
        return "221 2.0.0 ";
      case DialogEnd::kInjection:
        return "554 5.5.0 ";
      case DialogEnd::kSpokeFirst:
        return "554 5.5.0 ";
      case DialogEnd::kForeign:
        return "554 5.5.1 ";
      case DialogEnd::kLineTooLong:
        return "500 5.5.2 ";
      case DialogEnd::kTooManyErrors:
      case DialogEnd::kTooManyCommands:
        return "421 4.7.0 ";
      case DialogEnd::kTimeout:
      case DialogEnd::kGone:
      case DialogEnd::kStopped:
        break;  // the session's
    }
    return {};
  };
  reply.append(code()).append(Describe(end)).append("\r\n");
}

}  // namespace

std::unique_ptr<ClientDialog> MakeSmtpClientDialog(const DialogRules& rules) {
  return std::make_unique<SmtpClientDialog>(rules);
}

}  // namespace postern::mail
