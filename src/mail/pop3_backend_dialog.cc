// POP3 towards a server: STLS (RFC 2595 section 4), and XCLIENT as Dovecot has it, which offers it
// in the greeting to those that may use it.
//
// The greeting is passed on as it came but for that offer. Its timestamp belongs to this connection
// and to APOP (RFC 1939 section 7), so it has to reach the client, before TLS or not.
#include <string>

#include "mail/backend_talk.h"
#include "mail/client_identity.h"

namespace postern::mail {
namespace {

enum class Awaited : uint8_t { kGreeting, kStls, kHandshake, kXclient };

constexpr std::string_view kOffer = "[XCLIENT]";

bool IsStatus(std::string_view line, std::string_view status) {
  return line.starts_with(status) && (line.size() == status.size() || line[status.size()] == ' ');
}
bool IsOk(std::string_view line) { return IsStatus(line, "+OK"); }
bool IsError(std::string_view line) { return IsStatus(line, "-ERR"); }

// The offer stands where response codes do (RFC 2449 section 8), before the text.
std::string WithoutOffer(std::string_view greeting) {
  std::string kept(greeting);
  const size_t offer = kept.find(kOffer);
  if (offer == std::string::npos) return kept;
  const size_t end = offer + kOffer.size();
  kept.erase(offer, kOffer.size() + (kept.substr(end, 1) == " " ? 1 : 0));
  return kept;
}

class Pop3BackendDialog final : public BackendTalk {
 public:
  explicit Pop3BackendDialog(const BackendRules& rules) : BackendTalk(rules, Strings::kNone) {}

 private:
  Verdict TakeResponse(std::string_view line, const Out& out) override;
  Verdict OnSecured(const Out& out) override { return Identify(out); }
  Verdict TakeGreeting(std::string_view line, const Out& out);
  Verdict Identify(const Out& out);
  Verdict Begin(const Out& out);

  Verdict SayAwaiting(Awaited awaited, std::string_view command, const Out& out) {
    awaited_ = awaited;
    return Say(command, out);
  }

  Awaited awaited_ = Awaited::kGreeting;
  std::string greeting_;
};

BackendTalk::Verdict Pop3BackendDialog::TakeResponse(std::string_view line, const Out& out) {
  if (!IsOk(line) && !IsError(line)) {
    return Fail(BackendFailure::kProtocol, "does not speak POP3", line);
  }
  switch (awaited_) {
    case Awaited::kGreeting:
      return TakeGreeting(line, out);
    case Awaited::kStls:
      if (IsError(line)) return Fail(BackendFailure::kNoStartTls, "refuses STLS", line);
      awaited_ = Awaited::kHandshake;
      return Verdict::kStartTls;
    case Awaited::kXclient:
      if (IsError(line)) return Fail(BackendFailure::kNotIdentified, "refuses XCLIENT", line);
      return Begin(out);
    case Awaited::kHandshake:
      break;
  }
  return Fail(BackendFailure::kProtocol, "speaks out of turn", line);
}

BackendTalk::Verdict Pop3BackendDialog::TakeGreeting(std::string_view line, const Out& out) {
  if (IsError(line)) return Fail(BackendFailure::kRefused, "refuses to serve", line);
  greeting_ = line;
  return rules().starttls ? SayAwaiting(Awaited::kStls, "STLS", out) : Identify(out);
}

BackendTalk::Verdict Pop3BackendDialog::Identify(const Out& out) {
  if (!rules().identify) return Begin(out);
  if (greeting_.find(kOffer) == std::string::npos) {
    return Fail(BackendFailure::kNotIdentified,
                "does not offer XCLIENT in its greeting; Dovecot admits Postern's address by "
                "login_trusted_networks",
                greeting_);
  }
  return SayAwaiting(Awaited::kXclient, LoginXclient(rules().client), out);
}

BackendTalk::Verdict Pop3BackendDialog::Begin(const Out& out) {
  if (rules().greet_client) out.client.append(WithoutOffer(greeting_)).append("\r\n");
  return Verdict::kReady;
}

}  // namespace

std::unique_ptr<BackendDialog> MakePop3BackendDialog(const BackendRules& rules) {
  return std::make_unique<Pop3BackendDialog>(rules);
}

}  // namespace postern::mail
