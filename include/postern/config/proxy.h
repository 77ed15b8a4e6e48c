// The PROXY protocol in the configuration: whom a listener believes, and what a back end is told.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "postern/os/network.h"

namespace postern::config {

// What stands in front of a client's first octet.
enum class ProxyIn : uint8_t { kOff, kVersion1, kVersion2, kAny };
// What a back end's server is sent in front of everything else.
enum class ProxyOut : uint8_t { kOff, kVersion1, kVersion2, kVersion2Tls };

// Which of a verified client certificate's names an SMTP server is told as the login (XCLIENT).
enum class LoginSource : uint8_t {
  kNone,
  kCommonName,  // the subject's CN
  kEmail,       // the first rfc822Name of the subjectAltName
};

// Of a listener. With kOff the rest is without meaning; else `from` is not empty: whoever comes
// from these networks must send a header, and nobody else is let in.
struct ProxyAcceptance {
  ProxyIn in = ProxyIn::kOff;
  std::vector<os::Network> from;
  // The specification's section 2 asks for 3 s or more: a lost segment must be able to come again.
  uint64_t timeout_ms = 5'000;
};

}  // namespace postern::config
