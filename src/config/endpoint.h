// Addresses as the configuration file writes them: what a listener binds and where a back end's
// server is.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "postern/config/config.h"

namespace postern::config {

// Complaint is a fault without its place: the caller knows the key and the position.
struct Complaint {
  std::string what;
  std::string remedy;
};

// CanonicalIp returns the usual text form of a numeric IPv4 or IPv6 address, so that equal
// addresses compare equal; an IPv4-mapped IPv6 address becomes IPv4. A scope ("%eth0") is kept.
// Nothing when `text` is no address.
std::optional<std::string> CanonicalIp(std::string_view text);

// Whether `name` is a host name as RFC 1123 section 2.1 has it, or one with underscores, as real
// networks have them. A dot may end it.
bool IsHostName(std::string_view name);

// ParseListenAddress reads "*", "192.0.2.1", "::1", "192.0.2.1:993", "[::1]:993" or "*:993". The
// port is 0 when the text has none. `where` is left to the caller.
std::expected<ListenAddress, Complaint> ParseListenAddress(std::string_view text);

// ParseServer reads "host:port", "[v6]:port" or "unix:/path". `where` is left to the caller.
std::expected<Server, Complaint> ParseServer(std::string_view text);

// LeadsTo tells whether a connection to `server` certainly arrives at `address`: then Postern would
// talk to itself.
bool LeadsTo(const Server& server, const ListenAddress& address);

// IsLoopback tells whether only this machine can reach `address`.
bool IsLoopback(const ListenAddress& address);

// The longest path of a UNIX socket: sockaddr_un holds 108 octets, the last is the end mark.
inline constexpr size_t kMaxUnixPath = 107;

}  // namespace postern::config
