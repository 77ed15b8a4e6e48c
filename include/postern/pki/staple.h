// OCSP responses from files, to be sent along with a certificate (RFC 6066 section 8).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/pki/file_stamp.h"

namespace postern::pki {

struct Staple {
  std::vector<unsigned char> response;  // DER
  int64_t this_update = 0;              // seconds since 1970
  int64_t good_until = 0;               // nextUpdate
  FileStamp stamp;
};

// LoadStaple reads the response in `path`, DER or PEM ("OCSP RESPONSE"), and takes it only when a
// client would: it says "good" of the leaf of `chain` (DER, leaf first), the leaf's issuer or a
// responder of his has signed it, and it holds at `now` (RFC 6960 section 3.2). The issuer has to
// be in the chain, unless the leaf is signed by itself. Each failure names the file and the remedy.
Result<Staple> LoadStaple(const std::string& path, const std::vector<Bytes>& chain, int64_t now);

// DecodeStaple is LoadStaple on the octets of `path`; the stamp is nobody's.
Result<Staple> DecodeStaple(std::vector<unsigned char> octets, const std::string& path,
                            const std::vector<Bytes>& chain, int64_t now);

}  // namespace postern::pki
