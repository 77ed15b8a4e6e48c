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

// What a certificate of a chain is there for.
enum class Role : uint8_t { kServer, kAuthority };

// Unservable is why no client can be served with a chain that holds `certificate`, because libssl
// refuses it at its security level 2 or because clients offer nothing that fits: a key that is too
// short, a signature with SHA-1 or MD5 (but a root's own), a server's EC key on a curve that is not
// TLS's. It holds for all policies: a pair serves any listener, and what `old` is for, old clients,
// never kept anybody from having a better certificate. Empty when there is nothing. `what` ("the
// certificate in a.pem") begins each.
std::vector<Error> Unservable(X509* certificate, Role role, const std::string& what);

// FaultsOf is what makes clients refuse a certificate: Unservable, expired, not yet valid.
std::vector<Error> FaultsOf(X509* certificate, Role role, const std::string& what, int64_t now);

// RemarksOf is what a server's certificate lacks: it expires soon, names no host, has its host's
// name as CN alone (no client looks there any more), is not for servers, is an authority's, is
// self-signed.
std::vector<Error> RemarksOf(X509* certificate, const std::string& what, int64_t now);

// KeyIsWhole: signs what its public half verifies. A damaged private key may have a sound public
// half.
bool KeyIsWhole(EVP_PKEY* key);

}  // namespace postern::pki
