// Fuzzing of the quick reader of certificates. It may give up on anything, but what it does read it
// must read as OpenSSL does: names and validity of what is served come from it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "pki/plain_certificate.h"
#include "postern/base/check.h"
#include "postern/pki/certificate.h"
#include "tests/unit/pki/plain_certificate_agrees.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const postern::pki::Octets der(data, size);
  const auto plain = postern::pki::ReadPlainCertificate(der);
  if (!plain) return 0;
  const std::string disagreement = postern::pki::Disagreement(*plain, der);
  if (!disagreement.empty()) std::fprintf(stderr, "they disagree on: %s\n", disagreement.c_str());
  POSTERN_CHECK(disagreement.empty());
  POSTERN_CHECK(postern::pki::OpenSslErrors().empty());
  return 0;
}
