// Socket addresses. Numeric text is parsed with inet_pton and not with getaddrinfo: that one also
// takes "127.1" and "0x7f000001", which in a configuration file are rather slips than wishes.
#include "postern/os/socket_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <memory>

#include "postern/base/limits.h"

namespace postern::os {
namespace {

const sockaddr_in& AsV4(const sockaddr* address) {
  return *reinterpret_cast<const sockaddr_in*>(address);
}
const sockaddr_in6& AsV6(const sockaddr* address) {
  return *reinterpret_cast<const sockaddr_in6*>(address);
}

socklen_t LeastSize(int family) {
  switch (family) {
    case AF_INET:
      return sizeof(sockaddr_in);
    case AF_INET6:
      return sizeof(sockaddr_in6);
    case AF_UNIX:
      return offsetof(sockaddr_un, sun_path);
    default:
      return 0;
  }
}

// The path of a UNIX address: up to its NUL, or to the end; abstract names keep a leading '@'.
std::string UnixPath(const sockaddr* address, socklen_t size) {
  constexpr size_t kOffset = offsetof(sockaddr_un, sun_path);
  if (size <= kOffset) return {};
  const auto* path = reinterpret_cast<const sockaddr_un*>(address)->sun_path;
  if (path[0] == '\0') return "@" + std::string(path + 1, size - kOffset - 1);
  return {path, ::strnlen(path, size - kOffset)};
}

// An interface's number by name or by decimal digits; 0 when there is none.
uint32_t ScopeNumber(const std::string& scope) {
  if (const unsigned index = ::if_nametoindex(scope.c_str()); index != 0) return index;
  uint32_t number = 0;
  const char* end = scope.data() + scope.size();
  const auto [rest, error] = std::from_chars(scope.data(), end, number);
  return error == std::errc() && rest == end ? number : 0;
}

std::string V6Text(const sockaddr_in6& v6) {
  char text[INET6_ADDRSTRLEN] = {};
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
    return text;
  }
  ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  std::string result = text;
  if (v6.sin6_scope_id != 0) {
    char name[IF_NAMESIZE] = {};
    const char* known = ::if_indextoname(v6.sin6_scope_id, name);
    result += '%';
    result += known != nullptr ? std::string(known) : fmt::to_string(v6.sin6_scope_id);
  }
  return result;
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t size) {
  if (size < sizeof(sa_family_t) || size > sizeof storage_) return;
  const socklen_t least = LeastSize(address->sa_family);
  if (least == 0 || size < least) return;
  if (address->sa_family == AF_UNIX && size > sizeof(sockaddr_un)) return;
  size_ = address->sa_family == AF_UNIX ? size : least;
  std::memcpy(&storage_, address, size_);
}

std::optional<SocketAddress> SocketAddress::FromIp(std::string_view ip, uint16_t port) {
  const std::string text(ip);
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return SocketAddress(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  const size_t percent = text.find('%');
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, text.substr(0, percent).c_str(), &v6.sin6_addr) != 1) return {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (percent != std::string::npos) {
    v6.sin6_scope_id = ScopeNumber(text.substr(percent + 1));
    if (v6.sin6_scope_id == 0) return {};
  }
  return SocketAddress(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

std::optional<SocketAddress> SocketAddress::FromUnixPath(std::string_view path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) return {};
  if (path.find('\0') != std::string_view::npos) return {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return SocketAddress(reinterpret_cast<const sockaddr*>(&address), size);
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(AsV4(get()).sin_port);
  if (family() == AF_INET6) return ntohs(AsV6(get()).sin6_port);
  return 0;
}

std::string SocketAddress::IpString() const {
  if (family() == AF_INET) {
    char text[INET_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET, &AsV4(get()).sin_addr, text, sizeof text);
    return text;
  }
  if (family() == AF_INET6) return V6Text(AsV6(get()));
  if (family() == AF_UNIX) return "unix:" + UnixPath(get(), size_);
  return "unknown";
}

std::string SocketAddress::ToString() const {
  std::string ip = IpString();
  if (!is_ip()) return ip;
  const bool brackets = ip.find(':') != std::string::npos;
  return brackets ? fmt::format("[{}]:{}", ip, port()) : fmt::format("{}:{}", ip, port());
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  if (family() != other.family()) return false;
  if (family() == AF_INET) {
    return port() == other.port() &&
           AsV4(get()).sin_addr.s_addr == AsV4(other.get()).sin_addr.s_addr;
  }
  if (family() == AF_INET6) {
    const sockaddr_in6& a = AsV6(get());
    const sockaddr_in6& b = AsV6(other.get());
    return port() == other.port() && a.sin6_scope_id == b.sin6_scope_id &&
           std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0;
  }
  if (family() == AF_UNIX) return UnixPath(get(), size_) == UnixPath(other.get(), other.size_);
  return true;
}

Result<std::vector<SocketAddress>> ResolveHost(const std::string& host, uint16_t port) {
  if (const auto numeric = SocketAddress::FromIp(host, port)) return std::vector{*numeric};
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  // Without AI_ADDRCONFIG: a machine that has but loopback addresses must still find "localhost".
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::string what = "cannot resolve \"" + host + "\"";
  if (error == EAI_SYSTEM) return FailErrno(what, errno);
  if (error != 0) {
    return Fail(what + ": " + ::gai_strerror(error),
                "check the name and the resolver (/etc/resolv.conf), or give an IP address");
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  std::vector<SocketAddress> found;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage storage{};
    if (entry->ai_addrlen > sizeof storage) continue;
    std::memcpy(&storage, entry->ai_addr, entry->ai_addrlen);
    if (storage.ss_family == AF_INET) {
      reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
    } else if (storage.ss_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
    }
    const SocketAddress address(reinterpret_cast<const sockaddr*>(&storage), entry->ai_addrlen);
    if (!address.is_ip()) continue;
    if (std::find(found.begin(), found.end(), address) == found.end()) found.push_back(address);
  }
  if (found.empty()) return Fail(what + ": it has no IPv4 or IPv6 address");
  return found;
}

std::string MachineName(bool full) {
  const auto good = [](std::string_view name) {
    return !name.empty() && name.size() <= limits::kMaxHostName &&
           std::ranges::all_of(name, [](unsigned char c) {
             return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
           });
  };
  char host[256] = {};
  std::string name;
  if (::gethostname(host, sizeof host - 1) == 0 && good(host)) name = host;
  if (name.empty()) return "localhost";
  if (!full || name.contains('.')) return name;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_CANONNAME;
  addrinfo* list = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return name;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  const char* canonical = list == nullptr ? nullptr : list->ai_canonname;
  return canonical != nullptr && good(canonical) ? canonical : name;
}

}  // namespace postern::os
