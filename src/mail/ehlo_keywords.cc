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

constexpr std::array<std::string_view, 4> kNever = {
    "STARTTLS", "XCLIENT", "XFORWARD",
    "X-ANONYMOUSTLS",  // Exchange's STARTTLS among its own
};

// RFC 4954 section 4: no mechanism that sends a password in the clear. Which those are the back end
// says only over TLS, so none is offered. RFC 8689 section 2: REQUIRETLS is for TLS sessions.
constexpr std::array<std::string_view, 3> kTlsOnly = {"AUTH", "X-EXPS", "REQUIRETLS"};

bool IsPrintable(char octet) { return octet >= ' ' && octet < '\x7F'; }

}  // namespace

bool MayBeOffered(std::string_view line, Channel channel) {
  if (line.empty() || line.size() > kLongestLine || !std::ranges::all_of(line, IsPrintable)) {
    return false;
  }
  // "AUTH=LOGIN" is an old way to write "AUTH LOGIN" that some servers repeat.
  const std::string_view keyword = line.substr(0, line.find_first_of(" ="));
  const auto is_keyword = [keyword](std::string_view name) {
    return EqualsIgnoringCase(name, keyword);
  };
  if (std::ranges::any_of(kNever, is_keyword)) return false;
  return channel == Channel::kTls || std::ranges::none_of(kTlsOnly, is_keyword);
}

}  // namespace postern::mail
