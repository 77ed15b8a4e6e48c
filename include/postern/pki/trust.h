// Trust: the authorities whose client certificates a listener takes, with their revocation lists;
// and those whose servers a back end takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/base/result.h"

namespace postern::pki {

// Bounds on what a listener may name: every public authority of the world is some 150.
inline constexpr size_t kMaxTrusted = 1000;
inline constexpr size_t kMaxRevocationLists = 1000;

struct Trust {
  std::vector<std::vector<unsigned char>> certificates;  // DER
  std::vector<std::vector<unsigned char>> crls;          // DER
  // What serves all the same: authorities and lists that are out of date, a certificate that is no
  // authority's, a list of nobody's in `certificates`, an authority without a list.
  std::vector<Error> warnings;
};

enum class TrustedFor : uint8_t { kClients, kServers };

// LoadTrust reads CA certificates (PEM, any number in the file) and revocation lists (PEM, any
// number in each, or one in DER). The error names the file, what is wrong and the remedy.
// Among the authorities of servers a server's own certificate may stand.
Result<Trust> LoadTrust(const std::string& ca_path, const std::vector<std::string>& crl_paths,
                        int64_t now, TrustedFor trusted_for = TrustedFor::kClients);

}  // namespace postern::pki
