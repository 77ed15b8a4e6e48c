// Texts that a protocol cannot hold are left out rather than changed: half a name is another name.
// An address always fits.
#include "mail/client_identity.h"

#include <algorithm>
#include <array>

#include "mail/words.h"

namespace postern::mail {
namespace {

// RFC 5321 section 4.5.3.1.4: a command line has at most 512 octets, CR LF among them.
constexpr size_t kLongestCommand = 510;
// How often a session may be passed on from here, so that two proxies that name each other end.
// Dovecot's own proxies begin with this.
constexpr std::string_view kHopsLeft = "5";
// Nobody asks the DNS in the middle of a session; the server may, by the address.
constexpr std::string_view kUnavailable = "[UNAVAILABLE]";

constexpr std::string_view kCommand = "XCLIENT";

bool IsPrintable(char octet) { return octet >= ' ' && octet < '\x7F'; }
bool IsGraphic(char octet) { return octet > ' ' && octet < '\x7F'; }

// RFC 3461 section 4.
std::string XText(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char octet : text) {
    if (IsGraphic(octet) && octet != '+' && octet != '=') {
      out += octet;
      continue;
    }
    const auto value = static_cast<unsigned char>(octet);
    out.append({'+', kDigits[value >> 4], kDigits[value & 15]});
  }
  return out;
}

// RFC 5321 section 4.1.3.
std::string SmtpAddress(std::string_view address) {
  const bool ipv6 = address.find(':') != std::string_view::npos;
  return std::string(ipv6 ? "IPV6:" : "").append(address);
}

std::string Port(uint16_t port) { return port == 0 ? std::string() : std::to_string(port); }

bool Offers(std::string_view offered, std::string_view name) {
  while (!offered.empty()) {
    if (EqualsIgnoringCase(TakeWord(offered), name)) return true;
  }
  return false;
}

// Collects " NAME=value" for what is offered and not empty.
class Attributes {
 public:
  explicit Attributes(std::string_view offered) : offered_(offered) {}

  void Add(std::string_view name, std::string_view value) {
    if (value.empty() || !Offers(offered_, name)) return;
    std::string attribute = std::string(" ").append(name).append("=").append(XText(value));
    if (kCommand.size() + attribute.size() <= kLongestCommand) list_.push_back(attribute);
  }
  const std::vector<std::string>& list() const { return list_; }

 private:
  std::string_view offered_;
  std::vector<std::string> list_;
};

size_t SizeOf(const std::vector<std::string>& attributes) {
  size_t size = 0;
  for (const std::string& attribute : attributes) size += attribute.size();
  return size;
}

}  // namespace

std::vector<std::string> XclientCommands(const ClientIdentity& client, std::string_view hello_verb,
                                         std::string_view offered) {
  if (client.address.empty() || !Offers(offered, "ADDR")) return {};
  Attributes first(offered);
  first.Add("HELO", client.hello);
  if (EqualsIgnoringCase(hello_verb, "EHLO")) first.Add("PROTO", "ESMTP");
  if (EqualsIgnoringCase(hello_verb, "HELO")) first.Add("PROTO", "SMTP");
  first.Add("LOGIN", client.login);
  first.Add("SESSION", client.session_id);
  first.Add("TTL", kHopsLeft);
  // These belong together and fit into one command in any case.
  Attributes last(offered);
  last.Add("DESTADDR", SmtpAddress(client.local_address));
  last.Add("DESTPORT", Port(client.local_port));
  last.Add("PORT", Port(client.port));
  // Not told, the name of the machine that Postern runs on would stay.
  last.Add("NAME", kUnavailable);
  last.Add("REVERSE_NAME", kUnavailable);
  last.Add("ADDR", SmtpAddress(client.address));

  std::vector<std::string> commands = {std::string(kCommand)};
  for (const std::string& attribute : first.list()) {
    if (commands.back().size() + attribute.size() > kLongestCommand) {
      commands.emplace_back(kCommand);
    }
    commands.back() += attribute;
  }
  if (commands.back().size() + SizeOf(last.list()) > kLongestCommand) {
    commands.emplace_back(kCommand);
  }
  for (const std::string& attribute : last.list()) commands.back() += attribute;
  return commands;
}

std::string LoginXclient(const ClientIdentity& client) {
  std::string command(kCommand);
  const auto add = [&command](std::string_view name, std::string_view value) {
    // There is no encoding: the next space is the next attribute.
    if (value.empty() || !std::ranges::all_of(value, IsGraphic)) return;
    command.append(" ").append(name).append("=").append(value);
  };
  add("ADDR", client.address);
  add("PORT", Port(client.port));
  add("SESSION", client.session_id);
  add("TTL", kHopsLeft);
  return command;
}

std::string ImapIdList(const ClientIdentity& client) {
  std::string list;
  const auto add = [&list](std::string_view name, std::string_view value) {
    if (value.empty() || !std::ranges::all_of(value, IsPrintable)) return;
    list.append(list.empty() ? "(\"" : " \"").append(name).append("\" \"");
    for (const char octet : value) {
      if (octet == '"' || octet == '\\') list += '\\';
      list += octet;
    }
    list += '"';
  };
  add("x-originating-ip", client.address);
  add("x-originating-port", Port(client.port));
  add("x-connected-ip", client.local_address);
  add("x-connected-port", Port(client.local_port));
  add("x-session-id", client.session_id);
  add("x-proxy-ttl", kHopsLeft);
  return list + ")";
}

}  // namespace postern::mail
