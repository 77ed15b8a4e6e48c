// ManageSieve (RFC 5804) towards a server. Capabilities come unasked, at the start and again behind
// STARTTLS (section 2.2), and the last ones are the client's greeting, less STARTTLS.
#include <string>

#include "mail/backend_talk.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

enum class Awaited : uint8_t { kGreeting, kStartTls, kHandshake, kSecondGreeting };

bool IsCapability(std::string_view response) {
  return response.starts_with('"') || response.starts_with('{');
}

bool IsStartTls(std::string_view response) {
  // As a quoted string or as a literal.
  return EqualsIgnoringCase(WithoutTrailingSpace(response), "\"STARTTLS\"") ||
         (response.starts_with('{') &&
          EqualsIgnoringCase(response.substr(response.find('\n') + 1), "STARTTLS"));
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

  Awaited awaited_ = Awaited::kGreeting;
  std::string greeting_;  // as far as it is there, less STARTTLS
  bool offers_starttls_ = false;
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
  if (EqualsIgnoringCase(name, "BYE") || EqualsIgnoringCase(name, "NO")) {
    return Fail(BackendFailure::kRefused, "refuses to serve", response);
  }
  return Fail(BackendFailure::kProtocol, "does not speak ManageSieve", response);
}

BackendTalk::Verdict SieveBackendDialog::TakeCapability(std::string_view response) {
  if (IsStartTls(response)) {
    offers_starttls_ = true;
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
      return Verdict::kStartTls;
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
  if (rules().greet_client) out.client.append(greeting_).append(response).append("\r\n");
  return Verdict::kReady;
}

}  // namespace

std::unique_ptr<BackendDialog> MakeSieveBackendDialog(const BackendRules& rules) {
  return std::make_unique<SieveBackendDialog>(rules);
}

}  // namespace postern::mail
