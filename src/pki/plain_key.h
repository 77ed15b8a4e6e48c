// Private keys: decoding those that are not encrypted, encoding, and whether they are sound.
#pragma once

#include "pki/pem_file.h"

namespace postern::pki {

// DecodePlainKey decodes a PEM block of a private key; null when it is none (the error queue says
// why).
KeyPtr DecodePlainKey(const PemBlock& block);

// KeyFitsItself: the public half that an EC or RSA key was stored with belongs to its private one.
// Nobody compares them on decoding, and a certificate is compared with the public one. Others
// have no public half of their own, and fit.
bool KeyFitsItself(const EVP_PKEY* key);

// EncodePkcs8 is the key as PKCS#8; empty when it cannot be encoded (the error queue says why).
SecretBytes EncodePkcs8(const EVP_PKEY* key);

}  // namespace postern::pki
