// ClientAbilities: which certificates a client can verify, and the choice among those of a name.
#pragma once

#include <cstdint>
#include <span>

#include "postern/pki/signature_schemes.h"
#include "tls/client_offer.h"

namespace postern::tls {

struct ClientAbilities {
  uint32_t key_kinds = UINT32_MAX;      // bit 1 << pki::KeyClass: a leaf with such a key
  pki::SchemeSet schemes = UINT32_MAX;  // signatures within chains

  bool VerifiesKey(pki::KeyClass kind) const {
    return (key_kinds & 1U << static_cast<uint32_t>(kind)) != 0;
  }
  bool VerifiesChain(pki::SchemeSet needs) const { return (needs & ~schemes) == 0; }
};

// AbilitiesOf judges the offer by what `ssl` will negotiate from it: versions, suites, signature
// algorithms, groups. Valid only within the ClientHello callback.
ClientAbilities AbilitiesOf(SSL* ssl, const ClientOffer& offer);

// What a choice is made from.
struct CertificateTraits {
  pki::KeyClass key_kind = pki::KeyClass::kOther;
  pki::SchemeSet schemes = 0;
};

// ChooseCertificate returns the index of the best of `choices` (at least one): one that the client
// can verify whole, else one whose key it can, else the first, which then fails with a reason. Of
// several, the one whose key kind comes first in pki::KeyClass.
size_t ChooseCertificate(std::span<const CertificateTraits> choices,
                         const ClientAbilities& abilities);

}  // namespace postern::tls
