// RFC 3207 (SMTP), RFC 9051 section 6.2.1 (IMAP), RFC 2595 section 4 (POP3). IMAP and POP3 are not
// asked for their capabilities first: a server that does not know the command says so. SMTP needs
// EHLO before, and its answer has to offer STARTTLS.
//
// Octets behind the reply to STARTTLS are a refusal of ours: they would have been sent unprotected
// and taken for protected ones.
#include "bench/load/starttls.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace postern::bench {
namespace {

constexpr size_t kMaxLine = 8192;  // longer than any server's; it bounds what is kept

StartTls::Outcome Refuse(std::string_view what, std::string_view line) {
  StartTls::Outcome outcome;
  outcome.refused = true;
  outcome.reason = fmt::format("{}: {}", what, line.substr(0, 100));
  return outcome;
}

StartTls::Outcome Send(std::string text) {
  StartTls::Outcome outcome;
  outcome.send = std::move(text);
  return outcome;
}

StartTls::Outcome Upgrade() {
  StartTls::Outcome outcome;
  outcome.upgrade = true;
  return outcome;
}

bool StartsWith(std::string_view line, std::string_view start) {
  return line.size() >= start.size() &&
         std::equal(start.begin(), start.end(), line.begin(), [](unsigned char a, unsigned char b) {
           return std::tolower(a) == std::tolower(b);
         });
}

}  // namespace

StartTls::Outcome StartTls::Take(std::string_view octets) {
  while (true) {
    const size_t end = octets.find('\n');
    if (end == std::string_view::npos) break;
    std::string whole = std::move(partial_);
    partial_.clear();
    whole += octets.substr(0, end);
    octets.remove_prefix(end + 1);
    if (whole.ends_with('\r')) whole.pop_back();
    Outcome outcome = TakeLine(whole);
    if (outcome.upgrade && !octets.empty()) {
      return Refuse("octets before the handshake, behind the reply", octets);
    }
    if (outcome.upgrade || outcome.refused || !outcome.send.empty()) {
      // A server that has said more than its turn allows is answered by its next line.
      partial_ = octets;
      return outcome;
    }
  }
  partial_ += octets;
  if (partial_.size() > kMaxLine) return Refuse("a line does not end", partial_);
  return {};
}

StartTls::Outcome StartTls::TakeLine(std::string_view line) {
  switch (service_) {
    case Service::kSmtp:
      return TakeSmtp(line);
    case Service::kImap:
      return TakeImap(line);
    case Service::kPop3:
      return TakePop3(line);
    case Service::kRaw:
    case Service::kHttp:
      break;
  }
  return Refuse("no dialog for this service", NameOf(service_));
}

StartTls::Outcome StartTls::TakeSmtp(std::string_view line) {
  const bool last = line.size() < 4 || line[3] != '-';  // RFC 5321 section 4.2.1
  switch (state_) {
    case State::kGreeting:
      if (!line.starts_with("220")) return Refuse("greeting", line);
      if (!last) return {};
      state_ = State::kCapabilities;
      return Send("EHLO postern-bench.invalid\r\n");
    case State::kCapabilities:
      if (!line.starts_with("250")) return Refuse("EHLO", line);
      if (line.size() > 4 && StartsWith(line.substr(4), "STARTTLS")) offered_ = true;
      if (!last) return {};
      if (!offered_) return Refuse("not offered", line);
      state_ = State::kReply;
      return Send("STARTTLS\r\n");
    case State::kReply:
      if (!line.starts_with("220")) return Refuse("refused", line);
      return last ? Upgrade() : Outcome{};
  }
  return {};
}

StartTls::Outcome StartTls::TakeImap(std::string_view line) {
  switch (state_) {
    case State::kGreeting:
      if (!StartsWith(line, "* OK")) return Refuse("greeting", line);
      state_ = State::kReply;
      return Send("a STARTTLS\r\n");
    case State::kCapabilities:
    case State::kReply:
      if (line.starts_with("* ")) return {};  // untagged, may come at any time
      return StartsWith(line, "a OK") ? Upgrade() : Refuse("refused", line);
  }
  return {};
}

StartTls::Outcome StartTls::TakePop3(std::string_view line) {
  switch (state_) {
    case State::kGreeting:
      if (!line.starts_with("+OK")) return Refuse("greeting", line);
      state_ = State::kReply;
      return Send("STLS\r\n");
    case State::kCapabilities:
    case State::kReply:
      return line.starts_with("+OK") ? Upgrade() : Refuse("refused", line);
  }
  return {};
}

}  // namespace postern::bench
