// IMAP towards a server: STARTTLS (RFC 9051 section 6.2.1), and ID (RFC 2971) with the fields by
// which Dovecot's servers are told who the client is.
//
// A greeting's capabilities hold for the channel that it came on. Behind STARTTLS they are asked
// for again, since clients that find some in the greeting do not ask by themselves: LOGINDISABLED
// would lock them out. PREAUTH is refused in every case: the server has let in somebody, and it was
// not the client.
#include <array>
#include <string>

#include "mail/backend_talk.h"
#include "mail/client_identity.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

enum class Awaited : uint8_t { kGreeting, kStartTls, kHandshake, kId, kCapability };

// A response, taken apart as far as it matters here.
struct Response {
  std::string_view tag;   // "*" for what is not the end of an answer
  std::string_view name;  // OK, CAPABILITY
  std::string_view rest;
};

Response Parse(std::string_view line) {
  Response response;
  response.rest = line;
  response.tag = TakeWord(response.rest);
  response.name = TakeWord(response.rest);
  return response;
}

// "[CAPABILITY a b] text": what the code holds, and the text. A code of another kind is text.
struct Code {
  bool present = false;
  std::string_view capabilities;
  std::string_view text;
};

Code TakeCode(std::string_view rest) {
  constexpr std::string_view kStart = "[CAPABILITY ";
  const size_t end = rest.find(']');
  if (end == std::string_view::npos || !EqualsIgnoringCase(rest.substr(0, kStart.size()), kStart)) {
    return {.text = rest};
  }
  Code code{.present = true, .capabilities = rest.substr(kStart.size(), end - kStart.size())};
  code.text = rest.substr(end + 1);
  if (code.text.starts_with(' ')) code.text.remove_prefix(1);
  return code;
}

bool Has(std::string_view capabilities, std::string_view name) {
  while (!capabilities.empty()) {
    if (EqualsIgnoringCase(TakeWord(capabilities), name)) return true;
  }
  return false;
}

// TLS is no longer to be asked for.
std::string WithoutStartTls(std::string_view capabilities) {
  std::string kept;
  while (!capabilities.empty()) {
    const std::string_view name = TakeWord(capabilities);
    if (name.empty() || EqualsIgnoringCase(name, "STARTTLS")) continue;
    kept.append(kept.empty() ? "" : " ").append(name);
  }
  return kept;
}

class ImapBackendDialog final : public BackendTalk {
 public:
  explicit ImapBackendDialog(const BackendRules& rules) : BackendTalk(rules, Strings::kLiterals) {}

 private:
  Verdict TakeResponse(std::string_view response, const Out& out) override;
  Verdict OnSecured(const Out& out) override { return Identify(out); }
  Verdict TakeGreeting(const Response& response, std::string_view line, const Out& out);
  Verdict TakeUntagged(const Response& response, std::string_view line);
  Verdict TakeEnd(bool ok, std::string_view line, const Out& out);
  Verdict Identify(const Out& out);
  Verdict AskCapabilities(const Out& out);
  Verdict Begin(const Out& out);

  // A tag for each command, so that no answer can be taken for another's.
  Verdict SayAwaiting(Awaited awaited, std::string_view command, const Out& out) {
    awaited_ = awaited;
    tag_ = "P" + std::to_string(++commands_);
    return Say(tag_ + " " + std::string(command), out);
  }

  Awaited awaited_ = Awaited::kGreeting;
  unsigned commands_ = 0;
  std::string tag_;
  bool has_capabilities_ = false;  // the greeting had some, so the client is told some
  std::string capabilities_;       // empty: unknown
  std::string text_;
};

BackendTalk::Verdict ImapBackendDialog::TakeResponse(std::string_view line, const Out& out) {
  const Response response = Parse(line);
  if (awaited_ == Awaited::kGreeting) return TakeGreeting(response, line, out);
  if (awaited_ == Awaited::kHandshake) {
    return Fail(BackendFailure::kProtocol, "speaks out of turn", line);
  }
  if (response.tag == "*") return TakeUntagged(response, line);
  const bool ok = EqualsIgnoringCase(response.name, "OK");
  if (response.tag == tag_ &&
      (ok || EqualsIgnoringCase(response.name, "NO") || EqualsIgnoringCase(response.name, "BAD"))) {
    return TakeEnd(ok, line, out);
  }
  return Fail(BackendFailure::kProtocol, "does not speak IMAP", line);
}

BackendTalk::Verdict ImapBackendDialog::TakeGreeting(const Response& response,
                                                     std::string_view line, const Out& out) {
  const bool untagged = response.tag == "*";
  if (untagged && EqualsIgnoringCase(response.name, "BYE")) {
    return Fail(BackendFailure::kRefused, "refuses to serve", line);
  }
  if (untagged && EqualsIgnoringCase(response.name, "PREAUTH")) {
    return Fail(BackendFailure::kPreauth, "greets PREAUTH: the client would be logged in unasked",
                line);
  }
  if (!untagged || !EqualsIgnoringCase(response.name, "OK")) {
    return Fail(BackendFailure::kProtocol, "does not speak IMAP", line);
  }
  const Code code = TakeCode(response.rest);
  has_capabilities_ = code.present;
  capabilities_ = code.capabilities;
  text_ = code.text;
  if (!rules().starttls) return Identify(out);
  if (has_capabilities_ && !Has(capabilities_, "STARTTLS")) {
    return Fail(BackendFailure::kNoStartTls, "does not offer STARTTLS", line);
  }
  return SayAwaiting(Awaited::kStartTls, "STARTTLS", out);
}

BackendTalk::Verdict ImapBackendDialog::TakeUntagged(const Response& response,
                                                     std::string_view line) {
  if (EqualsIgnoringCase(response.name, "BYE")) {
    return Fail(BackendFailure::kRefused, "refuses to serve", line);
  }
  if (EqualsIgnoringCase(response.name, "PREAUTH")) {
    return Fail(BackendFailure::kProtocol, "does not speak IMAP", line);
  }
  if (awaited_ == Awaited::kCapability && EqualsIgnoringCase(response.name, "CAPABILITY")) {
    capabilities_ = response.rest;
  }
  return Verdict::kMore;
}

BackendTalk::Verdict ImapBackendDialog::TakeEnd(bool ok, std::string_view line, const Out& out) {
  switch (awaited_) {
    case Awaited::kStartTls:
      if (!ok) return Fail(BackendFailure::kNoStartTls, "refuses STARTTLS", line);
      awaited_ = Awaited::kHandshake;
      // RFC 9051 section 6.2.1: what was heard before is forgotten.
      capabilities_.clear();
      return Verdict::kStartTls;
    case Awaited::kId:
      if (!ok) return Fail(BackendFailure::kNotIdentified, "refuses ID", line);
      return AskCapabilities(out);
    case Awaited::kCapability:
      return Begin(out);
    case Awaited::kGreeting:
    case Awaited::kHandshake:
      break;
  }
  return Fail(BackendFailure::kProtocol, "speaks out of turn", line);
}

BackendTalk::Verdict ImapBackendDialog::Identify(const Out& out) {
  if (!rules().identify) return AskCapabilities(out);
  if (!capabilities_.empty() && !Has(capabilities_, "ID")) {
    return Fail(BackendFailure::kNotIdentified,
                "does not offer ID, by which Dovecot is told who the client is", capabilities_);
  }
  return SayAwaiting(Awaited::kId, "ID " + ImapIdList(rules().client), out);
}

BackendTalk::Verdict ImapBackendDialog::AskCapabilities(const Out& out) {
  const bool wanted = rules().greet_client && has_capabilities_ && capabilities_.empty();
  return wanted ? SayAwaiting(Awaited::kCapability, "CAPABILITY", out) : Begin(out);
}

BackendTalk::Verdict ImapBackendDialog::Begin(const Out& out) {
  if (!rules().greet_client) return Verdict::kReady;
  out.client += "* OK ";
  const std::string capabilities = WithoutStartTls(capabilities_);
  if (!capabilities.empty()) out.client.append("[CAPABILITY ").append(capabilities).append("] ");
  // RFC 9051 section 9: resp-text is not empty.
  out.client.append(text_.empty() ? "Ready" : text_).append("\r\n");
  return Verdict::kReady;
}

}  // namespace

std::unique_ptr<BackendDialog> MakeImapBackendDialog(const BackendRules& rules) {
  return std::make_unique<ImapBackendDialog>(rules);
}

}  // namespace postern::mail
