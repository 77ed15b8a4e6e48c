#include "postern/os/network.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace postern::os {
namespace {

constexpr uint32_t kMappedBits = 96;
constexpr std::array<std::byte, 12> kMapped = {
    std::byte{}, std::byte{}, std::byte{}, std::byte{}, std::byte{},     std::byte{},
    std::byte{}, std::byte{}, std::byte{}, std::byte{}, std::byte{0xFF}, std::byte{0xFF}};

bool IsMapped(const std::array<std::byte, 16>& address) {
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

// The address in its 16 octets; false when it is no IP address.
bool Octets(const SocketAddress& from, std::array<std::byte, 16>& out) {
  if (from.family() == AF_INET) {
    std::ranges::copy(kMapped, out.begin());
    std::memcpy(out.data() + kMapped.size(),
                &reinterpret_cast<const sockaddr_in*>(from.get())->sin_addr, 4);
    return true;
  }
  if (from.family() != AF_INET6) return false;
  std::memcpy(out.data(), &reinterpret_cast<const sockaddr_in6*>(from.get())->sin6_addr, 16);
  return true;
}

// Whether the first `bits` bits are equal.
bool Agree(const std::array<std::byte, 16>& a, const std::array<std::byte, 16>& b, uint32_t bits) {
  const size_t whole = bits / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<ptrdiff_t>(whole), b.begin())) return false;
  const uint32_t rest = bits % 8;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == std::byte{};
}

}  // namespace

std::optional<Network> Network::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view ip = text.substr(0, slash);
  // A zone says on which link, not from where.
  const auto parsed = ip.contains('%') ? std::nullopt : SocketAddress::FromIp(ip, 0);
  Network network;
  if (!parsed || !Octets(*parsed, network.address)) return std::nullopt;
  if (slash == std::string_view::npos) return network;
  const bool v4 = parsed->family() == AF_INET;
  const std::string_view bits = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), network.prefix);
  if (error != std::errc() || end != bits.data() + bits.size() ||
      network.prefix > (v4 ? 32 : 128)) {
    return std::nullopt;
  }
  if (v4) network.prefix += kMappedBits;
  for (uint32_t bit = network.prefix; bit < 128; ++bit) {
    if ((network.address[bit / 8] & std::byte{0x80} >> (bit % 8)) != std::byte{}) {
      return std::nullopt;
    }
  }
  return network;
}

bool Network::Contains(const SocketAddress& peer) const {
  std::array<std::byte, 16> octets;
  return Octets(peer, octets) && prefix <= 128 && Agree(address, octets, prefix);
}

std::string Network::ToString() const {
  char text[INET6_ADDRSTRLEN] = {};
  const bool v4 = IsMapped(address) && prefix >= kMappedBits;
  ::inet_ntop(v4 ? AF_INET : AF_INET6, address.data() + (v4 ? kMapped.size() : 0), text,
              sizeof text);
  return fmt::format("{}/{}", text, v4 ? prefix - kMappedBits : prefix);
}

}  // namespace postern::os
