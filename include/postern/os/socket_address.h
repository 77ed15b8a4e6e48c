// SocketAddress: an IPv4, IPv6 or UNIX-domain address in the kernel's form, with its text form.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/result.h"

namespace postern::os {

class SocketAddress {
 public:
  SocketAddress() = default;  // family AF_UNSPEC
  // `size` octets of a sockaddr; too long or too short for its family gives AF_UNSPEC.
  SocketAddress(const sockaddr* address, socklen_t size);

  // FromIp parses a numeric IPv4 or IPv6 address (no brackets, scope allowed).
  static std::optional<SocketAddress> FromIp(std::string_view ip, uint16_t port);
  // FromUnixPath fails when the path does not fit sockaddr_un (107 octets).
  static std::optional<SocketAddress> FromUnixPath(std::string_view path);

  int family() const { return storage_.ss_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  uint16_t port() const;  // 0 for UNIX sockets
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  Bytes bytes() const { return {reinterpret_cast<const std::byte*>(&storage_), size_}; }

  // "192.0.2.1:993", "[2001:db8::1]:993", "unix:/run/x"; an IPv4-mapped IPv6 address is shown as
  // IPv4. IpString leaves the port out.
  std::string ToString() const;
  std::string IpString() const;

  bool operator==(const SocketAddress& other) const;

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

// ResolveHost looks `host` up (getaddrinfo, blocking, both families, in the order of RFC 6724);
// numeric addresses need no resolver. Call it on the loader thread only.
Result<std::vector<SocketAddress>> ResolveHost(const std::string& host, uint16_t port);

// MachineName is what this machine calls itself: letters, digits, "-", "." and "_" alone, never
// empty. With `full` a name without a domain is looked up (blocking, as ResolveHost).
std::string MachineName(bool full);

}  // namespace postern::os
