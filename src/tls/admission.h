// Admission: what would have served a client that was refused.
#pragma once

#include <cstdint>
#include <string>

#include "tls/client_offer.h"
#include "tls/openssl_types.h"

namespace postern::tls {

// What a refused client could have been served with, as the end of a sentence: "; policy = \"old\"
// would admit it (TLSv1, AES128-SHA)". `ssl` is the handshake that failed; its certificate's key
// decides which ciphers suit.
std::string HowToAdmit(const SSL* ssl, const ClientOffer& offer);

// The same for the key exchange: "; a policy with P-521 in its groups would admit it".
std::string HowToAdmitGroups(const ClientOffer& offer);

// "; a certificate with an RSA key for this name would serve it", when ciphers that the client
// offers and `ssl` accepts only lack the key.
std::string KeyThatWouldServe(SSL* ssl, const ClientOffer& offer);

}  // namespace postern::tls
