// Admission: what would have served a client that was refused.
#pragma once

#include <cstdint>
#include <string>

#include "tls/client_offer.h"
#include "tls/openssl_types.h"
#include "tls/schemes.h"

namespace postern::tls {

// What a refused client could have been served with, as the end of a sentence: "; policy = \"old\"
// would admit it (TLSv1, AES128-SHA)", with the keys of `key_kinds` (bit 1 << pki::KeyClass) if
// that is possible, else "; policy = \"old\" and a certificate with an RSA key would admit it
// (...)".
std::string HowToAdmit(const ClientOffer& offer, uint32_t key_kinds);

// When HowToAdmit has nothing to say: what it is about the suites. "; OpenSSL 3.0.17 has none of
// them", "; those that OpenSSL 3.0.17 has need a pre-shared key, which no policy serves".
std::string WhyNoneServes(SSL* ssl, const ClientOffer& offer);

// The same for the key exchange: "; a policy with P-521 in its groups would admit it".
std::string HowToAdmitGroups(const ClientOffer& offer);

// "; a certificate with an RSA key for this name would serve it", when ciphers that the client
// offers and `ssl` accepts only lack the key.
std::string KeyThatWouldServe(SSL* ssl, const ClientOffer& offer, uint32_t key_kinds);
// Whether one of the suites that the client offers and `ssl` accepts does not lack it.
bool KeySuitsSharedSuite(SSL* ssl, const ClientOffer& offer, uint32_t key_kinds);

// The same for the curve of the key: "; a certificate with an EC P-384 key for this name would
// serve it", when the client offers a curve that certificates are made for.
std::string CurveThatWouldServe(const ClientOffer& offer);

// The same for the signature in the handshake: "; a policy with rsa_pkcs1_sha256 in its
// signature_algorithms would admit it", or the policy or key that would.
std::string HowToAdmitSignatures(const Signing& signing, const ClientOffer& offer);

}  // namespace postern::tls
