// Whether what ReadPlainCertificate says of a certificate is what OpenSSL says.
#pragma once

#include <openssl/err.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "pki/plain_certificate.h"
#include "postern/pki/certificate.h"
#include "postern/pki/describe.h"

namespace postern::pki {

inline bool IsName(Octets octets, X509_NAME* name) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_NAME(name, &der);
  const bool same = size > 0 && Same(octets, Octets(der, static_cast<size_t>(size)));
  OPENSSL_free(der);
  return same;
}

// What the two disagree on; empty when they agree.
inline std::string Disagreement(const PlainCertificate& plain, Octets der) {
  const unsigned char* at = der.data();
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  X509* x = certificate.get();
  if (x == nullptr || at != der.data() + der.size()) return "OpenSSL does not decode it";
  if (!IsName(plain.issuer, X509_get_issuer_name(x))) return "issuer";
  if (!IsName(plain.subject, X509_get_subject_name(x))) return "subject";
  const Period period = PeriodOf(x);
  if (plain.period.not_before != period.not_before) return "not before";
  if (plain.period.not_after != period.not_after) return "not after";
  if (plain.names != HostNames(x)) return "names";
  if (!NamesNotAscii(x).empty()) return "names that are not ASCII";
  if (plain.schemes != SchemeNeeded(x)) return "signature scheme";
  if (!WeakSignature(x).empty()) return "a weak signature";
  if (plain.must_staple != (X509_get_ext_by_NID(x, NID_tlsfeature, -1) >= 0)) return "must staple";
  const ASN1_BIT_STRING* bits = X509_get0_pubkey_bitstr(x);
  if (!Same(plain.public_key, Octets(bits->data, static_cast<size_t>(bits->length)))) {
    return "octets of the key";
  }
  const EVP_PKEY* key = X509_get0_pubkey(x);
  ERR_clear_error();
  // A point off its curve: for those who compare it with a key.
  if (key == nullptr) return {};
  if (plain.key_kind != KindOf(key)) return "kind of the key";
  if (plain.key_bits != EVP_PKEY_get_bits(key)) return "bits of the key";
  if (!WeakKey(key).empty()) return "a weak key";
  if (IsOddCurve(key)) return "an odd curve";
  return {};
}

}  // namespace postern::pki
