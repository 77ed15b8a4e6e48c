// First octets: TLS, or what it is that came instead.
//
// libssl tells some of this too (SSL_R_HTTP_REQUEST), but not what the administrator needs: which
// request, which command. And octets that are no TLS need not reach a library of that size at all.
// The verdict falls as soon as it can: a client that speaks plain text waits for an answer and may
// never send a second packet.
#include "tls/first_bytes.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "tls/names.h"

namespace postern::tls {
namespace {

constexpr size_t kExtract = 60;  // octets of the peer's text in a detail
constexpr size_t kHexExtract = 8;

// RFC 9110 section 9, RFC 5789, WebDAV's PROPFIND, and PRI, with which HTTP/2 begins (RFC 9113
// section 3.4).
constexpr std::array<std::string_view, 11> kHttpMethods = {
    "GET ",     "HEAD ",  "POST ",  "PUT ",      "DELETE ", "CONNECT ",
    "OPTIONS ", "TRACE ", "PATCH ", "PROPFIND ", "PRI "};

unsigned At(Bytes wire, size_t i) { return std::to_integer<unsigned>(wire[i]); }

bool IsText(unsigned octet) {
  return (octet >= 0x20 && octet < 0x7F) || octet == '\t' || octet == '\r' || octet == '\n';
}

std::string_view FirstLine(std::string_view text) {
  text = text.substr(0, kExtract);
  return text.substr(0, text.find_first_of("\r\n"));
}

// HttpRequest is method and path; a query may hold credentials.
std::string_view HttpRequest(std::string_view text) {
  const std::string_view line = FirstLine(text);
  const std::string_view target = line.substr(line.find(' ') + 1);
  const size_t path = target.find_first_of(" ?");
  return line.substr(0, line.size() - target.size() + std::min(path, target.size()));
}

// What IMAP clients say before they are logged in (RFC 9051 section 6.1 and 6.2, RFC 2971).
constexpr std::array<const char*, 7> kImapCommands = {
    "CAPABILITY", "LOGIN", "AUTHENTICATE", "STARTTLS", "NOOP", "ID", "LOGOUT"};

// Command gives the line's verb and drops what follows: that may be a password. With IMAP the verb
// comes second, behind a tag.
std::string Command(std::string_view line) {
  const std::string_view first = line.substr(0, line.find(' '));
  if (first.size() == line.size()) return std::string(first);
  const std::string_view rest = line.substr(first.size() + 1);
  const std::string second(rest.substr(0, rest.find(' ')));
  for (const char* command : kImapCommands) {
    if (strcasecmp(second.c_str(), command) == 0) return fmt::format("{} {}", first, second);
  }
  return std::string(first);
}

FirstBytes Refuse(HandshakeFailure failure, std::string detail) {
  return {FirstBytes::Kind::kRefused, failure, std::move(detail)};
}

FirstBytes NotTls(Bytes wire, std::string_view who = "client") {
  std::string hex;
  for (size_t i = 0; i < std::min(wire.size(), kHexExtract); ++i) {
    hex += fmt::format("{}{:02x}", i == 0 ? "" : " ", At(wire, i));
  }
  return Refuse(HandshakeFailure::kNotTls,
                fmt::format("the {} sent octets that are not TLS ({}{})", who, hex,
                            wire.size() > kHexExtract ? " ..." : ""));
}

// Where a client that begins in plain text would have been at the right place. Whether this
// listener is one already, and the client failed to begin TLS when it had asked for it, is not
// known here.
std::string_view PlainTextHint(std::string_view service) {
  if (service.empty()) return "";
  if (service == "http" || service == "raw") {
    return "; a listener for such clients has tls = \"auto\"";
  }
  return "; a listener for such clients has tls = \"starttls\", or \"auto\"";
}

// HTTP that goes astray to a mail port would be no better off there without TLS.
std::string_view HttpHint(std::string_view service) {
  return service == "http" || service == "raw" ? PlainTextHint(service) : "";
}

FirstBytes JudgeText(std::string_view text, std::string_view service) {
  for (const std::string_view method : kHttpMethods) {
    // "GE" may still become "GET ".
    if (text.size() < method.size() && method.starts_with(text)) return {};
    if (text.starts_with(method)) {
      return Refuse(HandshakeFailure::kPlainHttp,
                    fmt::format("the client spoke HTTP without TLS ({}){}", HttpRequest(text),
                                HttpHint(service)));
    }
  }
  const std::string command = Command(FirstLine(text));
  return Refuse(
      HandshakeFailure::kPlainText,
      (command.empty() ? "the client sent text without TLS"
                       : fmt::format("the client spoke plain text without TLS ({})", command))
          .append(PlainTextHint(service)));
}

// RFC 5246 appendix E.2: two octets of length with the high bit set, CLIENT-HELLO (1), the version
// asked for.
FirstBytes JudgeSslv2(Bytes wire, bool accept) {
  if (wire.size() >= 3 && At(wire, 2) != 1) return NotTls(wire);
  if (wire.size() < 5) return {};
  const unsigned major = At(wire, 3);
  const unsigned minor = At(wire, 4);
  if (major == 0 && minor == 2) {
    return Refuse(HandshakeFailure::kSslv2,
                  "the client speaks SSLv2 and nothing newer, which no policy can admit");
  }
  if (major != 3 || minor > 4) return NotTls(wire);
  if (accept && minor > 0) return {FirstBytes::Kind::kTls, HandshakeFailure::kNone, {}};
  FirstBytes refused = Refuse(
      HandshakeFailure::kSslv2,
      fmt::format("the client opens with an SSLv2-format ClientHello (for at most {}), which is "
                  "not accepted; {}",
                  VersionName(static_cast<uint16_t>(major << 8 | minor)),
                  minor > 0 ? "policy = \"old\" accepts it" : "no policy can admit SSLv3"));
  // RFC 5246 appendix E.2: who opens so and asks for 3.x reads the answer of 3.x. protocol_version
  // (70), fatal.
  refused.alert = {21, 3, static_cast<unsigned char>(std::min(minor, 1U)), 0, 2, 2, 70};
  return refused;
}

}  // namespace

FirstBytes ClassifyFirstBytes(Bytes wire, bool sslv2_hello, std::string_view service) {
  if (wire.empty()) return {};
  const unsigned type = At(wire, 0);
  if (type >= 20 && type <= 23) {
    // A TLS record: type, then major version 3 whatever TLS version it is (RFC 8446 section 5.1).
    if (wire.size() >= 2 && At(wire, 1) != 3) return NotTls(wire);
    if (wire.size() < 3) return {};
    return {FirstBytes::Kind::kTls, HandshakeFailure::kNone, {}};
  }
  if ((type & 0x80) != 0) return JudgeSslv2(wire, sslv2_hello);
  const Bytes extract = wire.first(std::min(wire.size(), kExtract));
  const auto text = [](std::byte b) { return IsText(std::to_integer<unsigned>(b)); };
  if (std::ranges::all_of(extract, text)) return JudgeText(AsText(wire), service);
  return NotTls(wire);
}

FirstBytes ClassifyServerBytes(Bytes wire, bool starttls) {
  if (wire.empty()) return {};
  const unsigned type = At(wire, 0);
  if (type >= 20 && type <= 23) {
    if (wire.size() >= 2 && At(wire, 1) != 3) return NotTls(wire, "server");
    if (wire.size() < 3) return {};
    return {FirstBytes::Kind::kTls, HandshakeFailure::kNone, {}};
  }
  const Bytes extract = wire.first(std::min(wire.size(), kExtract));
  const auto text = [](std::byte b) { return IsText(std::to_integer<unsigned>(b)); };
  if (!std::ranges::all_of(extract, text)) return NotTls(wire, "server");
  const std::string_view line = FirstLine(AsText(wire));
  if (line.starts_with("HTTP/")) {
    return Refuse(HandshakeFailure::kPlainHttp,
                  fmt::format("the server answered in HTTP without TLS ({})", line));
  }
  return Refuse(HandshakeFailure::kPlainText,
                starttls ? fmt::format("the server went on in plain text ({}) where TLS had to "
                                       "begin",
                                       line)
                         : fmt::format("the server answered in plain text ({}): its port wants tls "
                                       "= \"starttls\", or \"off\"",
                                       line));
}

}  // namespace postern::tls
