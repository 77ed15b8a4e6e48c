// PlainPairs: LoadPair for the pairs that nearly all are, in a tenth of the time.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "postern/pki/certificate.h"

namespace postern::pki {

// KnownCertificates remembers which certificates OpenSSL was seen to decode with their keys, so
// that an intermediate that ten thousand pairs share is decoded once. A few megabytes at most.
class KnownCertificates {
 public:
  // Whether OpenSSL decodes it.
  bool Decodes(const std::vector<unsigned char>& der);

 private:
  std::set<std::vector<unsigned char>> decoded_;
};

// LoadPlainPair gives what LoadPair would (certificate.h), for a pair that is made the usual way
// (src/pki/plain_certificate.h, strict_pem.h) with an EC or RSA key that is not encrypted, leaf
// first and its issuers in order behind it, and of which there is nothing to be said but that it
// expired or is not valid yet. For all others it gives nothing, and for every fault.
std::optional<Pair> LoadPlainPair(const PairFiles& files, KnownCertificates& known);

}  // namespace postern::pki
