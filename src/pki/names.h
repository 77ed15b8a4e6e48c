// Names that go into certificates and requests.
#pragma once

#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"

namespace postern::pki {

// IsHostName: labels of letters, digits, "-" and "_" (RFC 1123 section 2.1 and what DNS has beside
// it), 1 to 63 octets each without "-" at either end, at most 253 octets in all; the first may be
// "*" (RFC 6125 section 6.4.3). What looks like an IPv4 address is none.
bool IsHostName(std::string_view name);

// AddHostName appends `text` in lower case and without a dot at its end, when it is a host's name
// (or a wildcard for such) and not among `names` yet.
void AddHostName(std::vector<std::string>& names, std::string_view text);

struct AlternativeNamesDelete {
  void operator()(GENERAL_NAMES* p) const { GENERAL_NAMES_free(p); }
};
using AlternativeNamesPtr = std::unique_ptr<GENERAL_NAMES, AlternativeNamesDelete>;

// MakeAlternativeNames takes host names and IP addresses.
Result<AlternativeNamesPtr> MakeAlternativeNames(const std::vector<std::string>& names);

}  // namespace postern::pki
