// EC private keys, read from their DER directly (ECPrivateKey, RFC 5915, alone or in PKCS#8).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "pki/der_reader.h"
#include "postern/pki/secret_bytes.h"
#include "postern/pki/signature_schemes.h"

namespace postern::pki {

struct PlainEcKey {
  KeyClass kind = KeyClass::kOther;  // kEcdsaP256, kEcdsaP384 or kEcdsaP521
  Octets scalar;                     // as long as the curve's order; not checked for its range
  Octets point;                      // uncompressed; empty when the file does not say
};

// ReadPlainEcKey reads a block with the label "PRIVATE KEY" or "EC PRIVATE KEY"; nothing for other
// keys and curves, for attributes, and for what is not strict DER. A pure function of octets;
// borrows from `der`.
std::optional<PlainEcKey> ReadPlainEcKey(std::string_view label, Octets der);

// PointOf is the public point of `key`, uncompressed, computed from the scalar alone; nothing when
// the scalar is 0 or not below the curve's order. Some 15 us for P-256.
std::optional<std::vector<unsigned char>> PointOf(const PlainEcKey& key);

// EncodePlainEcKey is the key with its point as PKCS#8, to the octet what OpenSSL makes of it.
SecretBytes EncodePlainEcKey(const PlainEcKey& key, Octets point);

}  // namespace postern::pki
