// A keyword is a promise, and these are not the back end's to make to a client that speaks with
// Postern: TLS is Postern's own matter, and who may say who the client is (XCLIENT, XFORWARD) is
// settled between Postern and the back end. All others are the back end's: once the dialog is over
// it hears the client's octets as they are.
#include "mail/ehlo_keywords.h"

#include <algorithm>
#include <array>

#include "mail/words.h"

namespace postern::mail {
namespace {

// RFC 5321 section 4.5.3.1.5: a reply line has at most 512 octets, "250-" and CR LF among them.
constexpr size_t kLongestLine = 512 - 6;

constexpr std::array<std::string_view, 5> kNever = {
    "STARTTLS",       "XCLIENT", "XFORWARD",
    "XRCPTFORWARD",    // Dovecot's LMTP: what a proxy knows of the user
    "X-ANONYMOUSTLS",  // Exchange's STARTTLS among its own
};

// RFC 4954 section 4: no mechanism that sends a password in the clear. Which those are the back end
// says only over TLS, so none is offered. RFC 8689 section 2: REQUIRETLS is for TLS sessions.
constexpr std::array<std::string_view, 3> kTlsOnly = {"AUTH", "X-EXPS", "REQUIRETLS"};

// What servers say of the session in which Postern has asked, and so of nobody else's: Cyrus ends
// its answer to LHLO with "250 Ok SESSIONID=<...>".
constexpr std::array<std::string_view, 1> kOfOneSession = {"OK"};

bool IsPrintable(char octet) { return octet >= ' ' && octet < '\x7F'; }

// "AUTH=LOGIN" is an old way to write "AUTH LOGIN" that some servers repeat.
template <size_t N>
bool IsOneOf(std::string_view line, const std::array<std::string_view, N>& names) {
  const std::string_view keyword = line.substr(0, line.find_first_of(" ="));
  return std::ranges::any_of(
      names, [keyword](std::string_view name) { return EqualsIgnoringCase(name, keyword); });
}

}  // namespace

bool IsNeverOffered(std::string_view line) { return IsOneOf(line, kNever); }

bool MayBeOffered(std::string_view line, Channel channel) {
  if (line.empty() || line.size() > kLongestLine || !std::ranges::all_of(line, IsPrintable)) {
    return false;
  }
  if (IsNeverOffered(line)) return false;
  return channel == Channel::kTls || !(IsOneOf(line, kTlsOnly) || IsOneOf(line, kOfOneSession));
}

}  // namespace postern::mail
