// ManageSieve (RFC 5804) before TLS.
//
// Capabilities are said unasked, at the start and again after TLS, then by the back end. Until then
// the Sieve extensions are unknown, and an empty list is one that the RFC allows.
#include <algorithm>
#include <array>
#include <string>

#include "mail/literal_dialog.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

// RFC 5804 section 4: what a quoted string may hold.
constexpr size_t kLongestQuoted = 1024;

enum class Verb : uint8_t { kCapability, kNoop, kLogout, kStartTls, kAuthenticate, kAfterLogin };

struct Row {
  std::string_view name;
  Verb verb;
};

constexpr std::array<Row, 14> kCommands = {{
    {"CAPABILITY", Verb::kCapability},
    {"NOOP", Verb::kNoop},
    {"LOGOUT", Verb::kLogout},
    {"STARTTLS", Verb::kStartTls},
    {"AUTHENTICATE", Verb::kAuthenticate},
    {"UNAUTHENTICATE", Verb::kAfterLogin},
    {"HAVESPACE", Verb::kAfterLogin},
    {"PUTSCRIPT", Verb::kAfterLogin},
    {"LISTSCRIPTS", Verb::kAfterLogin},
    {"SETACTIVE", Verb::kAfterLogin},
    {"GETSCRIPT", Verb::kAfterLogin},
    {"DELETESCRIPT", Verb::kAfterLogin},
    {"RENAMESCRIPT", Verb::kAfterLogin},
    {"CHECKSCRIPT", Verb::kAfterLogin},
}};

void AppendString(std::string_view text, std::string& out) {
  if (text.size() > kLongestQuoted ||
      text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
    out.append("{").append(std::to_string(text.size())).append("}\r\n").append(text);
    return;
  }
  out += '"';
  for (const char octet : text) {
    if (octet == '"' || octet == '\\') out += '\\';
    out += octet;
  }
  out += '"';
}

class SieveClientDialog final : public LiteralDialog {
 public:
  explicit SieveClientDialog(const DialogRules& rules) : LiteralDialog(rules) {}

  void Greet(std::string& reply) override {
    AppendCapabilities(reply);
    reply.append("OK \"").append(rules().host_name).append(" ready\"\r\n");
  }

 private:
  Verdict Begin(std::string_view line, std::string& reply) override;
  // RFC 5804 section 4: a client never asks; its literals are {n+}.
  bool AskFor(std::string&) override { return false; }
  Verdict CarryOut(std::string_view command, std::string& reply) override;
  Verdict Noop(std::string_view arguments, std::string& reply);

  void RefuseLine(LineFault fault, std::string& reply) override {
    reply.append("NO \"").append(Describe(fault)).append("\"\r\n");
  }
  void SayStartTls(std::string& reply) override { reply += "OK \"Begin TLS negotiation now\"\r\n"; }
  void SayGoodbye(DialogEnd end, std::string& reply) override {
    reply.append("BYE \"").append(Describe(end)).append("\"\r\n");
  }

  void AppendCapabilities(std::string& reply) const {
    // RFC 5804 section 1.7: the list of mechanisms may be empty where there is STARTTLS. Without
    // TLS the back end is asked, and PLAIN is what each has (section 2.1).
    reply.append("\"IMPLEMENTATION\" \"Postern\"\r\n\"SIEVE\" \"\"\r\n")
        .append(rules().require_tls ? "\"SASL\" \"\"\r\n" : "\"SASL\" \"PLAIN\"\r\n")
        .append("\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\n");
  }
  Verdict Answer(std::string_view line, std::string& reply) {
    reply.append(line).append("\r\n");
    return Verdict::kAnswered;
  }
  Verdict Refuse(std::string_view line, std::string& reply) {
    reply.append(line).append("\r\n");
    return Verdict::kRefused;
  }

  const Row* row_ = nullptr;  // of the last command
};

TextDialog::Verdict SieveClientDialog::Begin(std::string_view line, std::string&) {
  row_ = FindByName(std::span<const Row>(kCommands), TakeWord(line));
  const bool handed_over =
      row_ != nullptr && row_->verb == Verb::kAuthenticate && !rules().require_tls;
  return handed_over ? Verdict::kPlain : Verdict::kAnswered;
}

TextDialog::Verdict SieveClientDialog::CarryOut(std::string_view command, std::string& reply) {
  if (row_ == nullptr) return Refuse("NO \"Unknown command\"", reply);
  const std::string_view name = TakeWord(command);
  const bool has_arguments = name.data() + name.size() != command.data() + command.size();
  const bool takes_none = row_->verb == Verb::kCapability || row_->verb == Verb::kLogout ||
                          row_->verb == Verb::kStartTls;
  if (takes_none && has_arguments) return Refuse("NO \"No argument belongs here\"", reply);
  switch (row_->verb) {
    case Verb::kCapability:
      AppendCapabilities(reply);
      return Answer("OK \"CAPABILITY completed\"", reply);
    case Verb::kNoop:
      return has_arguments ? Noop(command, reply) : Answer("OK \"NOOP completed\"", reply);
    case Verb::kLogout:
      Answer("OK \"LOGOUT completed\"", reply);
      return Verdict::kQuit;
    case Verb::kStartTls:
      return Verdict::kStartTls;
    case Verb::kAuthenticate:
      // RFC 5804 section 1.3.
      return Refuse("NO (ENCRYPT-NEEDED) \"Encryption is needed first: use STARTTLS\"", reply);
    case Verb::kAfterLogin:
      return Refuse("NO \"Not before AUTHENTICATE\"", reply);
  }
  return Verdict::kRefused;
}

// RFC 5804 section 2.13: what the client gives comes back.
TextDialog::Verdict SieveClientDialog::Noop(std::string_view arguments, std::string& reply) {
  const auto tag = TakeString(arguments);
  if (!tag || !arguments.empty()) return Refuse("NO \"NOOP takes one string or none\"", reply);
  reply += "OK (TAG ";
  AppendString(*tag, reply);
  return Answer(") \"NOOP completed\"", reply);
}

}  // namespace

std::unique_ptr<ClientDialog> MakeSieveClientDialog(const DialogRules& rules) {
  return std::make_unique<SieveClientDialog>(rules);
}

}  // namespace postern::mail
