// ManageSieve (RFC 5804) towards a server. Capabilities come unasked, at the start and again behind
// STARTTLS (section 2.2), and the last ones are the client's greeting, less what is not for it:
// STARTTLS, and XCLIENT, by which Dovecot offers to be told who the client is.
#include <string>

#include "mail/backend_talk.h"
#include "mail/client_identity.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

enum class Awaited : uint8_t { kGreeting, kStartTls, kHandshake, kSecondGreeting, kXclient };

bool IsCapability(std::string_view response) {
  return response.starts_with('"') || response.starts_with('{');
}

// As a quoted string or as a literal.
bool Is(std::string_view response, std::string_view name) {
  response = WithoutTrailingSpace(response);
  if (response.starts_with('{')) {
    return EqualsIgnoringCase(response.substr(response.find('\n') + 1), name);
  }
  return response.size() == name.size() + 2 && response.front() == '"' && response.back() == '"' &&
         EqualsIgnoringCase(response.substr(1, name.size()), name);
}

class SieveBackendDialog final : public BackendTalk {
 public:
  explicit SieveBackendDialog(const BackendRules& rules) : BackendTalk(rules, Strings::kLiterals) {}

 private:
  Verdict TakeResponse(std::string_view response, const Out& out) override;
  Verdict OnSecured(const Out&) override {
    awaited_ = Awaited::kSecondGreeting;
    return Verdict::kWait;
  }
  Verdict TakeCapability(std::string_view response);
  Verdict TakeEnd(std::string_view response, const Out& out);
  Verdict TakeGreeting(std::string_view response, const Out& out);
  Verdict Begin(const Out& out);

  Awaited awaited_ = Awaited::kGreeting;
  std::string greeting_;  // as far as it is there, less what is not for the client
  bool offers_starttls_ = false;
  bool offers_xclient_ = false;
};

BackendTalk::Verdict SieveBackendDialog::TakeResponse(std::string_view response, const Out& out) {
  const bool greets = awaited_ == Awaited::kGreeting || awaited_ == Awaited::kSecondGreeting;
  if (greets && IsCapability(response)) return TakeCapability(response);
  std::string_view rest = response;
  const std::string_view name = TakeWord(rest);
  if (EqualsIgnoringCase(name, "OK")) return TakeEnd(response, out);
  if (EqualsIgnoringCase(name, "NO") && awaited_ == Awaited::kStartTls) {
    return Fail(BackendFailure::kNoStartTls, "refuses STARTTLS", response);
  }
  if (EqualsIgnoringCase(name, "NO") && awaited_ == Awaited::kXclient) {
    return Fail(BackendFailure::kNotIdentified, "refuses XCLIENT", response);
  }
  if (EqualsIgnoringCase(name, "BYE") || EqualsIgnoringCase(name, "NO")) {
    return Fail(BackendFailure::kRefused, "refuses to serve", response);
  }
  return Fail(BackendFailure::kProtocol, "does not speak ManageSieve", response);
}

BackendTalk::Verdict SieveBackendDialog::TakeCapability(std::string_view response) {
  if (Is(response, "STARTTLS")) {
    offers_starttls_ = true;
  } else if (Is(response, "XCLIENT")) {
    offers_xclient_ = true;
  } else {
    greeting_.append(response).append("\r\n");
  }
  return Verdict::kMore;
}

BackendTalk::Verdict SieveBackendDialog::TakeEnd(std::string_view response, const Out& out) {
  switch (awaited_) {
    case Awaited::kGreeting:
    case Awaited::kSecondGreeting:
      return TakeGreeting(response, out);
    case Awaited::kStartTls:
      awaited_ = Awaited::kHandshake;
      greeting_.clear();
      offers_xclient_ = false;
      return Verdict::kStartTls;
    case Awaited::kXclient:
      return Begin(out);
    case Awaited::kHandshake:
      break;
  }
  return Fail(BackendFailure::kProtocol, "speaks out of turn", response);
}

BackendTalk::Verdict SieveBackendDialog::TakeGreeting(std::string_view response, const Out& out) {
  if (rules().starttls && awaited_ == Awaited::kGreeting) {
    if (!offers_starttls_) {
      return Fail(BackendFailure::kNoStartTls, "does not offer STARTTLS");
    }
    awaited_ = Awaited::kStartTls;
    return Say("STARTTLS", out);
  }
  greeting_.append(response).append("\r\n");
  if (!rules().identify) return Begin(out);
  if (!offers_xclient_) {
    return Fail(BackendFailure::kNotIdentified,
                "does not offer XCLIENT; Dovecot admits Postern's address by "
                "login_trusted_networks");
  }
  awaited_ = Awaited::kXclient;
  return Say(LoginXclient(rules().client), out);
}

BackendTalk::Verdict SieveBackendDialog::Begin(const Out& out) {
  if (rules().greet_client) out.client += greeting_;
  return Verdict::kReady;
}

}  // namespace

std::unique_ptr<BackendDialog> MakeSieveBackendDialog(const BackendRules& rules) {
  return std::make_unique<SieveBackendDialog>(rules);
}

}  // namespace postern::mail
