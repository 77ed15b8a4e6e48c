// PlainCertificate: what loading needs to know of a certificate, read from its DER directly.
//
// d2i_X509 of OpenSSL 3.0 costs some 100 us, most of it for the key: every decoder is asked, each
// under a lock, whether it fits. Of 100,000 certificates all but a few are made alike; those are
// read here in a microsecond, and whatever is odd goes the long way, which also knows what to say
// of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pki/der_reader.h"
#include "postern/pki/certificate.h"

namespace postern::pki {

struct PlainCertificate {
  Octets issuer;   // Name, with its header
  Octets subject;  // Name, with its header
  Period period;
  KeyClass key_kind = KeyClass::kOther;  // kEcdsaP256, kEcdsaP384, kEcdsaP521 or kRsa
  int key_bits = 0;
  Octets public_key;               // what the BIT STRING holds: the point, or RSAPublicKey
  SchemeSet schemes = 0;           // as SchemeNeeded
  std::vector<std::string> names;  // as HostNames
  bool must_staple = false;
};

// ReadPlainCertificate is a pure function of octets. It gives nothing for whatever OpenSSL might
// refuse, understand otherwise or warn of: a version other than 3, names in anything but printable
// ASCII, alternative names of unusual kinds, keys other than RSA of 2,048 bits and more and the
// three curves of TLS with their points uncompressed, signatures that are weak or not TLS's,
// anything that is not strict DER. What it does give, d2i_X509 reads to the same meaning. Whether a
// point is on its curve it does not see: that is for who compares it with a key. Borrows from
// `der`.
std::optional<PlainCertificate> ReadPlainCertificate(Octets der);

}  // namespace postern::pki
