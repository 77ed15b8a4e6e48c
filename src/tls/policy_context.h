// PolicyContext: the SSL_CTX that every handshake of a listener starts from, and what is said about
// it when a handshake fails.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/tls/policy.h"
#include "tls/openssl_types.h"

namespace postern::tls {

class PolicyContext {
 public:
  SslCtxPtr context;
  std::string name;
  std::vector<uint16_t> groups;      // what it accepts, best first
  std::string signature_algorithms;  // as the policy has them; empty: OpenSSL's
  bool sslv2_hello = false;          // a ClientHello in SSLv2's format may begin the handshake
  config::ClientMode clients = config::ClientMode::kOff;
  // Names everything in it: sessions begun under other rules (an older cipher, a revoked client
  // certificate) do not resume.
  std::array<unsigned char, 32> digest{};

  std::string_view binding() const {
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
  }
};

}  // namespace postern::tls
