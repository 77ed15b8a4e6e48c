// Facts of certificates and keys in the words that messages use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/pki/certificate.h"

namespace postern::pki {

// "RSA 2048", "EC P-256", "ED25519".
std::string KeyType(const EVP_PKEY* key);
// First 16 hexadecimal digits of the SHA-256 of the public key (SubjectPublicKeyInfo): enough for
// an administrator to tell keys apart.
std::string KeyFingerprint(const EVP_PKEY* key);
// "CN=mail.example.com, O=Example", or "(no subject)".
std::string Subject(const X509* certificate);
std::string Issuer(const X509* certificate);
std::string NameText(const X509_NAME* name);
// Hexadecimal digits of the digest of the whole certificate, with colons: "AB:01:...".
std::string Fingerprint(const X509* certificate, const EVP_MD* digest);
// SHA-256 of the public key (SubjectPublicKeyInfo), 64 hexadecimal digits: what a TLSA record with
// selector 1 and matching type 1 holds (RFC 6698 section 2.1).
std::string PublicKeyDigest(const EVP_PKEY* key);
// Where the issuer's certificate can be fetched (authorityInfoAccess, RFC 5280 section 4.2.2.1);
// empty when the certificate does not say.
std::string IssuerUrl(const X509* certificate);
// "SHA-1" or "MD5" when the signature is made with it (or with what else is below 112 bits of
// security) and somebody verifies it; else empty. Nobody verifies a self-signed certificate's: it
// is trusted as it is, or not.
std::string WeakSignature(X509* certificate);
// What is wrong with the key's size, as "RSA 1024"; empty when nothing is.
std::string WeakKey(const EVP_PKEY* key);
// An EC key on another curve than the three that TLS 1.3 has signature schemes for and clients
// offer (RFC 8446 section 4.2.3): P-256, P-384 and P-521.
bool IsOddCurve(const EVP_PKEY* key);
// As Pair::names says.
std::vector<std::string> HostNames(const X509* certificate);
// All that the subjectAltName holds, as it stands: "mail.example.com", "192.0.2.1", "a@b.example".
std::vector<std::string> AlternativeNames(const X509* certificate);
// Those of its dNSNames that are not in ASCII, where no client looks for them (RFC 9525
// section 6.3: A-labels).
std::vector<std::string> NamesNotAscii(const X509* certificate);
std::vector<std::string> AlternativeNames(const X509_REQ* request);
Period PeriodOf(const X509* certificate);
// "2026-11-22 14:05 UTC".
std::string TimeText(int64_t seconds);

}  // namespace postern::pki
