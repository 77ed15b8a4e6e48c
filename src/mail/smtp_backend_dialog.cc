// SMTP (RFC 5321, RFC 3207) and LMTP (RFC 2033) towards a server, with XCLIENT.
//
// XCLIENT puts the server back to where it was when the connection began: it greets again, and that
// greeting is its verdict on the client. So a refusal from then on is the client's to hear, and
// says nothing about the server; one before it is the server's own.
//
// EHLO's answer is passed on to a client line by line less what is not for it. Until then commands
// go to the server one by one, and what is not an EHLO or without consequence ends the dialog: it
// does not take part in a mail transaction.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "mail/backend_talk.h"
#include "mail/client_identity.h"
#include "mail/ehlo_keywords.h"
#include "mail/words.h"
#include "postern/base/limits.h"
#include "postern/mail/replies.h"

namespace postern::mail {
namespace {

// What the server's next answer belongs to.
enum class Awaited : uint8_t {
  kGreeting,
  kEhlo,  // our own
  kStartTls,
  kHandshake,
  kXclient,
  kReplay,
  kClientCommand,  // the client is to speak
  kClientEhlo,     // to what the client said
  kClientOther,
};

// Commands of a client that may stand before its EHLO and change nothing.
constexpr std::array<std::string_view, 4> kHarmless = {"NOOP", "RSET", "VRFY", "HELP"};

bool IsDigit(char octet) { return octet >= '0' && octet <= '9'; }

// RFC 5321 section 4.2.
bool IsReplyLine(std::string_view line) {
  return line.size() >= 3 && line[0] >= '2' && line[0] <= '5' && IsDigit(line[1]) &&
         IsDigit(line[2]) && (line.size() == 3 || line[3] == ' ' || line[3] == '-');
}

// An answer, a line each, without their ends.
struct Answer {
  std::vector<std::string> lines;
  std::string_view code() const { return std::string_view(lines.front()).substr(0, 3); }
  const std::string& last() const { return lines.back(); }
  std::string whole() const {
    std::string text;
    for (const std::string& line : lines) text.append(line).append("\r\n");
    return text;
  }
};

// What an answer to EHLO offers (RFC 5321 section 4.1.1.1: its first line names the server).
EhloKeywords KeywordsOf(const Answer& answer) {
  EhloKeywords keywords;
  for (size_t i = 1; i < answer.lines.size(); ++i) {
    keywords.push_back(answer.lines[i].size() > 4 ? answer.lines[i].substr(4) : std::string());
  }
  return keywords;
}

// Without what is not for a client, which is taken to have TLS: where it has not, the listener was
// set up so.
Answer WithoutOurs(const Answer& answer) {
  Answer kept{{answer.lines.front()}};
  for (size_t i = 1; i < answer.lines.size(); ++i) {
    const std::string_view line = answer.lines[i];
    if (line.size() > 4 && MayBeOffered(line.substr(4), Channel::kTls)) {
      kept.lines.emplace_back(line);
    }
  }
  for (std::string& line : kept.lines) {
    if (line.size() > 3) line[3] = '-';
  }
  if (kept.lines.back().size() > 3) kept.lines.back()[3] = ' ';
  return kept;
}

class SmtpBackendDialog final : public BackendTalk {
 public:
  explicit SmtpBackendDialog(const BackendRules& rules)
      : BackendTalk(rules, Strings::kNone), client_reader_(LineEnds::kCrLf) {}

  bool wants_client() const override { return awaited_ == Awaited::kClientCommand; }
  Step TakeClient(Bytes wire, std::string& to_server, std::string& to_client) override;
  const EhloKeywords* keywords() const override { return heard_keywords_ ? &keywords_ : nullptr; }

 private:
  Verdict TakeResponse(std::string_view line, const Out& out) override;
  Verdict OnSecured(const Out& out) override;
  Verdict TakeAnswer(const Answer& answer, const Out& out);
  Verdict TakeGreeting(const Answer& answer, const Out& out);
  Verdict TakeEhlo(const Answer& answer, const Out& out);
  Verdict TakeXclient(const Answer& answer, const Out& out);
  Verdict TakeReplay(const Answer& answer, const Out& out);
  Verdict PassOn(const Answer& answer, const Out& out);
  Verdict Proceed(const Out& out);
  Verdict BeginXclient(const Out& out);
  Verdict SayNextXclient(const Out& out);
  Verdict Begin(const Out& out);

  Verdict SayAwaiting(Awaited awaited, std::string_view command, const Out& out) {
    awaited_ = awaited;
    return Say(command, out);
  }
  Verdict Fatal(BackendFailure failure, std::string_view detail, const Answer& answer) {
    return Fail(failure, detail, answer.last());
  }
  void Learn(const Answer& answer) {
    keywords_ = KeywordsOf(answer);
    heard_keywords_ = true;
  }
  std::string_view hello_verb() const {
    return rules().protocol == DialogProtocol::kLmtp ? "LHLO" : "EHLO";
  }
  bool needs_ehlo() const {
    return (rules().starttls && !secured_) || (rules().identify && !identified_) || rules().probe;
  }
  const std::string* Offered(std::string_view keyword) const;

  Awaited awaited_ = Awaited::kGreeting;
  Answer answer_;  // as far as it is there
  std::string greeting_;
  EhloKeywords keywords_;
  bool heard_keywords_ = false;
  bool said_ehlo_ = false;  // on this channel
  bool secured_ = false;
  bool identified_ = false;
  std::vector<std::string> xclient_;  // commands not said yet, the next one last
  LineReader client_reader_;
  unsigned client_commands_ = 0;
};

BackendTalk::Verdict SmtpBackendDialog::TakeResponse(std::string_view line, const Out& out) {
  if (!IsReplyLine(line)) {
    return Fail(BackendFailure::kProtocol, "does not speak SMTP", line);
  }
  if (!answer_.lines.empty() && !line.starts_with(answer_.code())) {
    return Fail(BackendFailure::kProtocol, "answers with two codes at once", line);
  }
  answer_.lines.emplace_back(line);
  if (line.size() > 3 && line[3] == '-') return Verdict::kMore;
  const Answer answer = std::move(answer_);
  answer_ = {};
  return TakeAnswer(answer, out);
}

BackendTalk::Verdict SmtpBackendDialog::TakeAnswer(const Answer& answer, const Out& out) {
  switch (awaited_) {
    case Awaited::kGreeting:
      return TakeGreeting(answer, out);
    case Awaited::kEhlo:
      return TakeEhlo(answer, out);
    case Awaited::kStartTls:
      if (answer.code() != "220") {
        return Fatal(BackendFailure::kNoStartTls, "refuses STARTTLS", answer);
      }
      awaited_ = Awaited::kHandshake;
      return Verdict::kStartTls;
    case Awaited::kXclient:
      return TakeXclient(answer, out);
    case Awaited::kReplay:
      return TakeReplay(answer, out);
    case Awaited::kClientEhlo:
    case Awaited::kClientOther:
      return PassOn(answer, out);
    case Awaited::kHandshake:
    case Awaited::kClientCommand:
      break;
  }
  return Fatal(BackendFailure::kProtocol, "speaks out of turn", answer);
}

BackendTalk::Verdict SmtpBackendDialog::TakeGreeting(const Answer& answer, const Out& out) {
  if (answer.code() != "220") return Fatal(BackendFailure::kRefused, "refuses to serve", answer);
  greeting_ = answer.whole();
  return Proceed(out);
}

BackendTalk::Verdict SmtpBackendDialog::TakeEhlo(const Answer& answer, const Out& out) {
  if (answer.code() != "250") return Fatal(BackendFailure::kRefused, "refuses our EHLO", answer);
  Learn(answer);
  return Proceed(out);
}

BackendTalk::Verdict SmtpBackendDialog::OnSecured(const Out& out) {
  // RFC 3207 section 4.2: what was heard before is forgotten.
  secured_ = true;
  said_ehlo_ = false;
  keywords_.clear();
  heard_keywords_ = false;
  return Proceed(out);
}

// Proceed says what is to be said next.
BackendTalk::Verdict SmtpBackendDialog::Proceed(const Out& out) {
  if (needs_ehlo() && !said_ehlo_) {
    said_ehlo_ = true;
    const std::string command = std::string(hello_verb()).append(" ").append(rules().host_name);
    return SayAwaiting(Awaited::kEhlo, command, out);
  }
  if (rules().starttls && !secured_) {
    if (Offered("STARTTLS") == nullptr) {
      return Fail(BackendFailure::kNoStartTls, "does not offer STARTTLS");
    }
    return SayAwaiting(Awaited::kStartTls, "STARTTLS", out);
  }
  if (rules().probe) {
    Say("QUIT", out);
    return Verdict::kReady;
  }
  if (rules().identify && !identified_) return BeginXclient(out);
  if (!rules().replay.empty()) return SayAwaiting(Awaited::kReplay, rules().replay, out);
  return Begin(out);
}

const std::string* SmtpBackendDialog::Offered(std::string_view keyword) const {
  const auto line = std::ranges::find_if(keywords_, [keyword](std::string_view offered) {
    return EqualsIgnoringCase(TakeWord(offered), keyword);
  });
  return line == keywords_.end() ? nullptr : &*line;
}

BackendTalk::Verdict SmtpBackendDialog::BeginXclient(const Out& out) {
  constexpr std::string_view kRemedy =
      "; Postfix admits Postern's address by smtpd_authorized_xclient_hosts, Dovecot by "
      "login_trusted_networks";
  const std::string* offered = Offered("XCLIENT");
  if (offered == nullptr) {
    return Fail(BackendFailure::kNotIdentified,
                std::string("does not offer XCLIENT").append(kRemedy));
  }
  std::string_view attributes = *offered;
  TakeWord(attributes);
  std::string_view replay = rules().replay;
  xclient_ = XclientCommands(rules().client, TakeWord(replay), attributes);
  if (xclient_.empty()) {
    return Fail(BackendFailure::kNotIdentified, "does not take a client's address by XCLIENT",
                *offered);
  }
  const auto logs_in = [](std::string_view command) {
    return command.find(" LOGIN=") != std::string_view::npos;
  };
  if (!rules().client.login.empty() && std::ranges::none_of(xclient_, logs_in)) {
    return Fail(BackendFailure::kNotIdentified, "does not take a client's login by XCLIENT",
                *offered);
  }
  std::ranges::reverse(xclient_);
  return SayNextXclient(out);
}

BackendTalk::Verdict SmtpBackendDialog::SayNextXclient(const Out& out) {
  const std::string command = std::move(xclient_.back());
  xclient_.pop_back();
  return SayAwaiting(Awaited::kXclient, command, out);
}

BackendTalk::Verdict SmtpBackendDialog::TakeXclient(const Answer& answer, const Out& out) {
  if (answer.code() == "220") {
    greeting_ = answer.whole();
    if (!xclient_.empty()) return SayNextXclient(out);
    identified_ = true;
    said_ehlo_ = false;
    return Proceed(out);
  }
  if (answer.code() == "501") {
    // It knows the command, and not what is said of this client. It would say the same to nobody
    // else, so it has not failed, and the words are no greeting.
    out.client += Reply(Protocol::kSmtp, Occasion::kBackendUnavailable);
    return Fatal(BackendFailure::kClientRefused,
                 "does not understand what XCLIENT says of this client; a Postfix with "
                 "inet_protocols = ipv4 takes no IPv6 addresses",
                 answer);
  }
  // Of what it answers these are about the command; all others are its greeting for the client.
  constexpr std::array<std::string_view, 4> kNotUnderstood = {"500", "502", "503", "504"};
  const bool understood = std::ranges::find(kNotUnderstood, answer.code()) == kNotUnderstood.end();
  if (!understood || !xclient_.empty() || answer.code() < "400") {
    return Fatal(BackendFailure::kNotIdentified, "refuses XCLIENT", answer);
  }
  out.client += answer.whole();
  return Fatal(BackendFailure::kClientRefused, "refuses this client", answer);
}

BackendTalk::Verdict SmtpBackendDialog::TakeReplay(const Answer& answer, const Out& out) {
  if (answer.code() == "250") {
    if (answer.lines.size() > 1) Learn(answer);
    return Begin(out);
  }
  // The client was told 250 by ClientDialog, so it takes this for the answer to what it said next.
  out.client += answer.whole();
  return Fatal(BackendFailure::kClientRefused, "refuses this client's EHLO", answer);
}

// Begin lets the client through.
BackendTalk::Verdict SmtpBackendDialog::Begin(const Out& out) {
  if (rules().greet_client) out.client += greeting_;
  if (!rules().filter_ehlo || !rules().replay.empty()) return Verdict::kReady;
  awaited_ = Awaited::kClientCommand;
  return Verdict::kWait;
}

BackendDialog::Step SmtpBackendDialog::TakeClient(Bytes wire, std::string& to_server,
                                                  std::string& to_client) {
  const std::string_view text = AsText(wire);
  const LineReader::Found found = client_reader_.Next(text);
  if (found.kind == LineReader::Kind::kMore) return {Next::kMore, 0};
  // What is no line is for the server to judge, as it came.
  if (found.kind != LineReader::Kind::kLine) return {Next::kReady, 0};
  std::string_view argument = found.line;
  const std::string_view verb = TakeWord(argument);
  const bool ehlo = EqualsIgnoringCase(verb, hello_verb());
  const bool harmless = std::ranges::any_of(
      kHarmless, [verb](std::string_view name) { return EqualsIgnoringCase(name, verb); });
  if ((!ehlo && !harmless) || ++client_commands_ > limits::kMaxDialogCommands) {
    return {Next::kReady, 0};
  }
  SayAwaiting(ehlo ? Awaited::kClientEhlo : Awaited::kClientOther, found.line,
              {to_server, to_client});
  return {Next::kMore, found.size};
}

BackendTalk::Verdict SmtpBackendDialog::PassOn(const Answer& answer, const Out& out) {
  if (awaited_ == Awaited::kClientEhlo && answer.code() == "250") {
    Learn(answer);
    out.client += WithoutOurs(answer).whole();
    return Verdict::kReady;
  }
  out.client += answer.whole();
  // RFC 5321 section 3.8: the server closes behind it.
  if (answer.code() == "421") return Verdict::kReady;
  awaited_ = Awaited::kClientCommand;
  return Verdict::kWait;
}

}  // namespace

std::unique_ptr<BackendDialog> MakeSmtpBackendDialog(const BackendRules& rules) {
  return std::make_unique<SmtpBackendDialog>(rules);
}

}  // namespace postern::mail
