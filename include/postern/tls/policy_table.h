// PolicyTable: what a policy comes to with the linked library, for people to read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"
#include "postern/config/policy.h"

namespace postern::tls {

// One suite, in the order of the policy.
struct PolicyRow {
  std::string name;            // OpenSSL's
  std::string standard_name;   // IANA's
  std::string versions;        // "TLSv1.3", "TLSv1-TLSv1.2"
  std::string key_exchange;    // "ECDHE", "RSA", "any group"
  std::string authentication;  // the certificate's key: "RSA", "ECDSA", "any"
  std::string encryption;      // "AES-128-GCM"
  int bits = 0;                // strength of the encryption
  std::string mac;             // "AEAD", "SHA-1"
};

struct PolicyTable {
  std::vector<PolicyRow> rows;
  std::string versions;              // "TLSv1.2, TLSv1.3"
  std::vector<std::string> groups;   // that the library has, best first
  std::string signature_algorithms;  // as configured; empty: the library's own
  int security_level = 0;            // OpenSSL's, see SSL_CTX_set_security_level(3)
  bool server_preference = false;
  std::vector<std::string> lacking;  // named by the policy, but not in the library
};

Result<PolicyTable> DescribePolicy(const config::Policy& policy);

}  // namespace postern::tls
