// Policy: what a listener accepts of TLS, in OpenSSL's names. Whether the linked library knows them
// all is tls::CheckPolicies' business; this module knows nothing of OpenSSL.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"

namespace postern::config {

// One of the built-in policies, or [policies.NAME], which begins with one of them.
struct Policy {
  std::string name;
  // As on the wire: 0x0301 is TLSv1, 0x0304 TLSv1.3.
  uint16_t min_version = 0x0303;
  uint16_t max_version = 0x0304;
  // Lists with colons between, as OpenSSL writes them.
  std::string ciphers;               // up to TLSv1.2
  std::string ciphersuites;          // TLSv1.3
  std::string groups;                // for the key exchange, best first
  std::string signature_algorithms;  // empty: the library's own list
  bool server_preference = false;    // whose order of suites holds

  // Where the file says so; line 0: it comes from the built-in policy. What a built-in policy names
  // and the library lacks is passed over, what an administrator writes is not.
  struct Places {
    Where versions;
    Where ciphers;
    Where ciphersuites;
    Where groups;
    Where signature_algorithms;
  };
  Places places;
  Where where;
};

// "modern", "intermediate" and "old", after Mozilla's guideline for servers.
std::span<const Policy> BuiltInPolicies();
inline constexpr std::string_view kDefaultPolicy = "intermediate";

// The policy of that name, or null.
const Policy* FindPolicy(std::span<const Policy> policies, std::string_view name);

// What a listener asks its clients for.
enum class ClientMode : uint8_t { kOff, kOptional, kRequired };
std::string_view ToString(ClientMode mode);  // "optional", as written in the file

struct ClientCertificates {
  ClientMode mode = ClientMode::kOff;
  std::string ca;                 // path of the CA certificates, PEM; empty only with kOff
  std::vector<std::string> crls;  // paths of their revocation lists, PEM or DER
  uint32_t depth = 3;             // CA certificates between a client's and the root, at most
  Where ca_where;
  Where crl_where;
};

}  // namespace postern::config
