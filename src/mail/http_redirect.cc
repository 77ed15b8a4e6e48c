// Who types a host and a port into a browser gets http, and a TLS port that answers with an alert
// or with nothing looks broken. The redirect is all that is served in the clear, and nothing behind
// Postern hears of it.
//
// The reader is stricter than RFC 9112 asks for: a lone LF is no line end, a header does not go on
// in the next line, and one Host it has to be. Nothing is gained by guessing: the other answer is a
// 400. What of a target may not stand in an address is percent-encoded (RFC 9112 section 3). A
// target that is not a path (a proxy's request, "*") becomes the root.
#include "postern/mail/http_redirect.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "mail/words.h"
#include "postern/base/limits.h"

namespace postern::mail {
namespace {

using State = HttpRedirect::State;

struct Request {
  bool is_head = false;
  bool keeps_method = false;
  int minor_version = 0;
  std::string_view target;
  std::optional<std::string_view> host;  // without its port
};

constexpr bool IsAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

constexpr bool IsOneOf(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

// RFC 9110 section 5.6.2: methods and names of headers.
bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return IsAlnum(c) || IsOneOf(c, "!#$%&'*+-.^_`|~");
  });
}

// --- The request's head ---

// A line of the head, without its end. false: there is none yet, or `bad`.
bool TakeLine(std::string_view& wire, std::string_view& line, bool& bad) {
  const size_t end = wire.find_first_of(std::string_view("\r\n\0", 3));
  if (end == std::string_view::npos) return false;
  if (wire[end] == '\r' && end + 1 == wire.size()) return false;  // its LF may come
  bad = wire[end] != '\r' || wire[end + 1] != '\n';
  if (bad) return false;
  line = wire.substr(0, end);
  wire.remove_prefix(end + 2);
  return true;
}

// RFC 9112 section 3: method SP target SP version.
bool ParseRequestLine(std::string_view line, Request& request) {
  const std::string_view method = TakeWord(line);
  request.target = TakeWord(line);
  if (!IsToken(method) || request.target.empty()) return false;
  // To redirect a tunnel makes no sense.
  if (method == "CONNECT") return false;
  request.is_head = method == "HEAD";
  request.keeps_method = method != "GET" && method != "HEAD";
  if (line.size() != 8 || !line.starts_with("HTTP/1.") || line[7] < '0' || line[7] > '9')
    return false;
  request.minor_version = line[7] - '0';
  return true;
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  return WithoutTrailingSpace(text);
}

bool IsPort(std::string_view text) {
  return text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// ParseHost takes the port off a Host and judges what is left: a name, an IPv4 address, or an IPv6
// address in brackets (RFC 9110 section 7.2, RFC 3986 section 3.2.2).
std::optional<std::string_view> ParseHost(std::string_view text) {
  const bool bracketed = text.starts_with('[');
  const size_t end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && end == std::string_view::npos) return std::nullopt;
  const size_t size = std::min(text.size(), bracketed ? end + 1 : end);
  const std::string_view host = text.substr(0, size);
  const std::string_view port = text.substr(size);
  if (!port.empty() && (port.front() != ':' || !IsPort(port.substr(1)))) return std::nullopt;
  const std::string_view name = bracketed ? host.substr(1, host.size() - 2) : host;
  if (host.size() > limits::kMaxHostName || (bracketed && name.empty())) return std::nullopt;
  const bool good = std::ranges::all_of(name, [bracketed](char c) {
    return bracketed ? IsOneOf(c, "0123456789ABCDEFabcdef:.") : IsAlnum(c) || IsOneOf(c, "-._");
  });
  return good ? std::optional(host) : std::nullopt;
}

// RFC 9112 section 5: name ":" value, no space before the colon, and no further lines.
bool ParseHeader(std::string_view line, Request& request) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return false;
  if (!EqualsIgnoringCase(line.substr(0, colon), "Host")) return true;
  // RFC 9112 section 3.2: whose would hold?
  if (request.host) return false;
  request.host = ParseHost(Trim(line.substr(colon + 1)));
  return request.host.has_value();
}

State ParseHead(std::string_view wire, Request& request) {
  bool bad = false;
  std::string_view line;
  if (!TakeLine(wire, line, bad)) return bad ? State::kRefused : State::kNeedMore;
  if (!ParseRequestLine(line, request)) return State::kRefused;
  while (TakeLine(wire, line, bad)) {
    if (line.empty()) return State::kRedirect;
    if (!ParseHeader(line, request)) return State::kRefused;
  }
  return bad ? State::kRefused : State::kNeedMore;
}

// --- The reply ---

constexpr std::string_view kRedirectText = "This address is served over TLS: use https.\r\n";
constexpr std::string_view kRefusedText = "This address is served over TLS.\r\n";

// RFC 9110 section 5.6.7, in UTC and English whatever the locale.
std::string FormatDate(std::chrono::sys_seconds now) {
  constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                     "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(now - day);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[std::chrono::weekday(day).c_encoding()], unsigned{date.day()},
                     kMonths[unsigned{date.month()} - 1], int{date.year()}, time.hours().count(),
                     time.minutes().count(), time.seconds().count());
}

// RFC 3986 section 3.3 and 3.4, and the octets beyond them that browsers send as they are.
bool MayStandInTarget(char c) { return IsAlnum(c) || IsOneOf(c, "-._~%!$&'()*+,;=:@/?[]|"); }

std::string EncodeTarget(std::string_view target) {
  if (!target.starts_with('/')) return "/";
  std::string out;
  for (const char c : target) {
    if (MayStandInTarget(c)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string Reply(std::string_view status, std::string_view location, std::string_view body,
                  bool is_head, const RedirectRules& rules) {
  std::string reply = fmt::format("HTTP/1.1 {}\r\n", status);
  if (rules.now) reply += fmt::format("Date: {}\r\n", FormatDate(*rules.now));
  if (!location.empty()) reply += fmt::format("Location: {}\r\n", location);
  reply += fmt::format(
      "Content-Type: text/plain; charset=utf-8\r\n"
      "Content-Length: {}\r\n"
      "Connection: close\r\n"
      "\r\n",
      body.size());
  if (!is_head) reply += body;
  return reply;
}

HttpRedirect Refuse(std::string_view status, const Request& request, const RedirectRules& rules) {
  return {State::kRefused, Reply(status, {}, kRefusedText, request.is_head, rules)};
}

}  // namespace

HttpRedirect RedirectToHttps(Bytes wire, const RedirectRules& rules) {
  const std::string_view text = AsText(wire).substr(0, limits::kMaxHttpHead);
  Request request;
  const State state = ParseHead(text, request);
  if (state == State::kNeedMore) {
    if (text.size() < limits::kMaxHttpHead) return {};
    return Refuse("431 Request Header Fields Too Large", request, rules);
  }
  // RFC 9112 section 3.2: HTTP/1.1 has a Host in every request. An empty one names nobody.
  std::string_view host = request.host.value_or(std::string_view());
  const bool may_lack = request.minor_version == 0 || request.host;
  if (host.empty() && may_lack) host = rules.host_name;
  if (state == State::kRefused || host.empty()) return Refuse("400 Bad Request", request, rules);
  const std::string port = rules.port == 443 ? "" : fmt::format(":{}", rules.port);
  const std::string location =
      fmt::format("https://{}{}{}", host, port, EncodeTarget(request.target));
  return {State::kRedirect,
          Reply(request.keeps_method ? "308 Permanent Redirect" : "301 Moved Permanently", location,
                kRedirectText, request.is_head, rules)};
}

}  // namespace postern::mail
