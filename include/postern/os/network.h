// Network: a range of IP addresses, "192.0.2.0/24" or "2001:db8::/32".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/os/socket_address.h"

namespace postern::os {

// IPv4 is kept as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), so that a client is in its network
// whether it came to an IPv4 socket or to a dual-stack one.
struct Network {
  std::array<std::byte, 16> address{};
  uint32_t prefix = 128;  // leading bits that count

  // Parse reads an address with or without "/BITS"; without, it is that address alone. Nothing when
  // `text` is neither, or when bits behind the prefix are set: whoever wrote that meant something
  // else.
  static std::optional<Network> Parse(std::string_view text);

  bool Contains(const SocketAddress& peer) const;
  std::string ToString() const;
  bool operator==(const Network&) const = default;
};

}  // namespace postern::os
