// Address syntax. Names are not resolved here: `postern check` on a machine without the mail
// network must still be able to judge the file, and the generation module resolves at load.
//
// Considered: taking "::1:993" as address and port. It is a valid IPv6 address of its own, so
// brackets are asked for instead, as RFC 3986 section 3.2.2 does.
#include "endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "postern/base/limits.h"
#include "postern/config/suggest.h"

namespace postern::config {
namespace {

constexpr std::string_view kAddressHelp =
    "write an address of this machine such as \"192.0.2.1\" or \"2001:db8::1\", or \"*\" for all";
constexpr std::string_view kServerHelp =
    "write \"host:port\", \"[IPv6 address]:port\" or \"unix:/path\", for example "
    "\"127.0.0.1:143\"";

std::unexpected<Complaint> Complain(std::string what, std::string_view remedy) {
  return std::unexpected(Complaint{std::move(what), std::string(remedy)});
}

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || rest != end || port == 0) return std::nullopt;
  return port;
}

bool AllOf(std::string_view text, std::string_view alphabet) {
  return text.find_first_not_of(alphabet) == std::string_view::npos;
}

// Text with its port, split; the host is without brackets.
struct HostPort {
  std::string_view host;
  std::optional<std::string_view> port;
  bool brackets = false;
};

std::optional<HostPort> Split(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    HostPort parts{.host = text.substr(1, close - 1), .port = std::nullopt, .brackets = true};
    const std::string_view rest = text.substr(close + 1);
    if (rest.empty()) return parts;
    if (!rest.starts_with(':')) return std::nullopt;
    parts.port = rest.substr(1);
    return parts;
  }
  const size_t colon = text.find(':');
  // More than one colon and no brackets: an IPv6 address on its own.
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
    return HostPort{.host = text, .port = std::nullopt};
  }
  return HostPort{.host = text.substr(0, colon), .port = text.substr(colon + 1)};
}

std::string_view WithoutScope(std::string_view ip) { return ip.substr(0, ip.find('%')); }

bool IsMulticast(std::string_view ip) {
  in6_addr v6{};
  if (::inet_pton(AF_INET6, std::string(WithoutScope(ip)).c_str(), &v6) == 1) {
    return IN6_IS_ADDR_MULTICAST(&v6);
  }
  in_addr v4{};
  return ::inet_pton(AF_INET, std::string(ip).c_str(), &v4) == 1 &&
         (IN_MULTICAST(ntohl(v4.s_addr)) || v4.s_addr == INADDR_BROADCAST);
}

bool NeedsScope(std::string_view ip) {
  in6_addr v6{};
  return ::inet_pton(AF_INET6, std::string(ip).c_str(), &v6) == 1 && IN6_IS_ADDR_LINKLOCAL(&v6);
}

std::expected<Server, Complaint> ParseUnixServer(std::string_view text) {
  const std::string_view path = text.substr(std::string_view("unix:").size());
  if (!path.starts_with('/')) {
    return Complain(fmt::format("the UNIX socket in {} has no absolute path", Quote(text)),
                    "begin the path with \"/\", for example \"unix:/run/dovecot/imap\"");
  }
  if (path.size() > kMaxUnixPath) {
    return Complain(fmt::format("the path in {} has {} octets, a UNIX socket's may have {}",
                                Quote(text), path.size(), kMaxUnixPath),
                    "move the socket to a shorter path, or name it through a symbolic link");
  }
  Server server;
  server.text = text;
  server.unix_path = path;
  return server;
}

std::expected<std::string, Complaint> ParseServerHost(std::string_view text,
                                                      const HostPort& parts) {
  if (auto ip = CanonicalIp(parts.host); ip.has_value()) {
    if (IsMulticast(*ip)) {
      return Complain(fmt::format("{} is a multicast or broadcast address", Quote(text)),
                      "name the address of one server");
    }
    if (NeedsScope(*ip)) {
      return Complain(fmt::format("the link-local address {} names no interface", Quote(*ip)),
                      fmt::format("add the interface, for example \"[{}%eth0]:143\"", *ip));
    }
    return *ip;
  }
  if (parts.brackets) {
    return Complain(fmt::format("what stands in brackets in {} is no IPv6 address", Quote(text)),
                    kServerHelp);
  }
  if (!parts.host.empty() && AllOf(parts.host, "0123456789.")) {
    return Complain(fmt::format("{} is no IPv4 address", Quote(parts.host)),
                    "write four numbers from 0 to 255, for example \"127.0.0.1:143\"");
  }
  if (!IsHostName(parts.host)) {
    return Complain(fmt::format("{} has no host name or address before its port", Quote(text)),
                    kServerHelp);
  }
  return std::string(parts.host);
}

}  // namespace

bool IsHostName(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > limits::kMaxHostName) return false;
  while (true) {
    const size_t dot = std::min(name.find('.'), name.size());
    const std::string_view label = name.substr(0, dot);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !AllOf(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")) {
      return false;
    }
    if (dot == name.size()) return true;
    name.remove_prefix(dot + 1);
  }
}

std::optional<std::string> CanonicalIp(std::string_view text) {
  // inet_pton would stop at a NUL and take the rest for nothing.
  if (text.size() > INET6_ADDRSTRLEN + 64 || text.contains('\0')) return std::nullopt;
  char shown[INET6_ADDRSTRLEN];
  in_addr v4{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &v4) == 1) {
    return ::inet_ntop(AF_INET, &v4, shown, sizeof shown);
  }
  const std::string_view address = WithoutScope(text);
  const std::string_view scope = text.substr(address.size());
  in6_addr v6{};
  if (::inet_pton(AF_INET6, std::string(address).c_str(), &v6) != 1 || scope == "%") {
    return std::nullopt;
  }
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    return ::inet_ntop(AF_INET, &v6.s6_addr[12], shown, sizeof shown);
  }
  return std::string(::inet_ntop(AF_INET6, &v6, shown, sizeof shown)).append(scope);
}

std::expected<ListenAddress, Complaint> ParseListenAddress(std::string_view text) {
  const std::optional<HostPort> parts = Split(text);
  if (!parts.has_value()) {
    return Complain(fmt::format("{} is no address", Quote(text)), kAddressHelp);
  }
  ListenAddress address;
  if (parts->port.has_value()) {
    const std::optional<uint16_t> port = ParsePort(*parts->port);
    if (!port.has_value()) {
      return Complain(fmt::format("{} has no valid port", Quote(text)),
                      "write a port from 1 to 65535 behind the colon");
    }
    address.port = *port;
  }
  if (parts->host == "*" && !parts->brackets) {
    address.ip = "::";
    address.dual_stack = true;
    return address;
  }
  std::optional<std::string> ip = CanonicalIp(parts->host);
  if (!ip.has_value()) {
    return Complain(fmt::format("{} is no IP address", Quote(parts->host)), kAddressHelp);
  }
  if (IsMulticast(*ip)) {
    return Complain(fmt::format("{} is a multicast or broadcast address", Quote(*ip)),
                    kAddressHelp);
  }
  if (NeedsScope(*ip)) {
    return Complain(fmt::format("the link-local address {} names no interface", Quote(*ip)),
                    fmt::format("add the interface, for example \"{}%eth0\"", *ip));
  }
  address.ip = std::move(*ip);
  return address;
}

std::expected<Server, Complaint> ParseServer(std::string_view text) {
  if (text.starts_with("unix:")) return ParseUnixServer(text);
  if (text.starts_with('/')) {
    return Complain(fmt::format("{} is no server", Quote(text)),
                    fmt::format("for a UNIX socket write {}", Quote(fmt::format("unix:{}", text))));
  }
  const std::optional<HostPort> parts = Split(text);
  if (!parts.has_value()) {
    return Complain(fmt::format("{} is no server", Quote(text)), kServerHelp);
  }
  if (!parts->port.has_value()) {
    const bool v6 = CanonicalIp(text).has_value() && text.find(':') != std::string_view::npos;
    if (v6 && !parts->brackets) {
      return Complain(fmt::format("the IPv6 address {} has no port", Quote(text)),
                      fmt::format("put it in brackets with the port behind: \"[{}]:143\"", text));
    }
    return Complain(fmt::format("{} has no port", Quote(text)), kServerHelp);
  }
  const std::optional<uint16_t> port = ParsePort(*parts->port);
  if (!port.has_value()) {
    return Complain(fmt::format("{} has no valid port", Quote(text)),
                    "write a port from 1 to 65535 behind the last colon");
  }
  auto host = ParseServerHost(text, *parts);
  if (!host.has_value()) return std::unexpected(std::move(host.error()));
  Server server;
  server.text = text;
  server.host = std::move(*host);
  server.port = *port;
  return server;
}

bool LeadsTo(const Server& server, const ListenAddress& address) {
  if (!server.unix_path.empty() || server.port != address.port) return false;
  if (server.host == address.ip) return true;
  const bool v4_loopback = server.host.starts_with("127.") && CanonicalIp(server.host).has_value();
  const bool v6_loopback = server.host == "::1";
  if (address.dual_stack) return v4_loopback || v6_loopback || server.host == "localhost";
  return (address.ip == "0.0.0.0" && v4_loopback) || (address.ip == "::" && v6_loopback);
}

bool IsLoopback(const ListenAddress& address) {
  return address.ip.starts_with("127.") || address.ip == "::1";
}

}  // namespace postern::config
