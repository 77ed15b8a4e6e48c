// Judging certificates: what clients will refuse, and what an administrator should look at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/certificate.h"

namespace postern::pki {

// A certificate that has no longer to live is worth a warning. ACME clients renew at 30 days, so
// that one that comes under 21 was not renewed.
inline constexpr int64_t kExpiresSoonDays = 21;

// FaultsOf is what makes clients refuse a certificate, whoever it is for: expired, not yet valid, a
// key that is too short, a signature with SHA-1 or MD5. `what` ("the certificate in a.pem") begins
// each.
std::vector<Error> FaultsOf(X509* certificate, const std::string& what, int64_t now);

// RemarksOf is what a server's certificate lacks: it expires soon, names no host, has its host's
// name as CN alone (no client looks there any more), is not for servers, is an authority's, is
// self-signed.
std::vector<Error> RemarksOf(X509* certificate, const std::string& what, int64_t now);

// KeyIsWhole: signs what its public half verifies. A damaged private key may have a sound public
// half.
bool KeyIsWhole(EVP_PKEY* key);

}  // namespace postern::pki
