// Self-signed pairs: what a fresh install serves on. ECDSA P-256 is small, quick and known to every
// client that speaks TLS 1.2.
//
// Extensions: subjectAltName, basicConstraints CA:FALSE (Firefox refuses a CA certificate as a
// server's), extendedKeyUsage serverAuth, subjectKeyIdentifier. No keyUsage on purpose: a
// self-signed certificate without keyCertSign is no issuer of itself to older OpenSSLs, so that
// even an administrator who trusts it by file could not; with keyCertSign others balk at CA:FALSE.
#include "postern/pki/self_signed.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "pki/names.h"
#include "postern/pki/certificate.h"

namespace postern::pki {
namespace {

// RFC 5280 appendix A.1: ub-common-name.
constexpr size_t kMaxCommonName = 64;

std::unexpected<Error> OpenSslFailed() {
  return Fail("cannot make a self-signed certificate: " + OpenSslErrors());
}

bool AddExtension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// RFC 5280 section 4.1.2.2: positive, at most 20 octets; 127 random bits are unique enough.
bool SetSerial(X509* certificate) {
  unsigned char octets[16];
  if (RAND_bytes(octets, sizeof octets) != 1) return false;
  octets[0] = static_cast<unsigned char>((octets[0] & 0x7F) | 0x40);
  BIGNUM* number = BN_bin2bn(octets, sizeof octets, nullptr);
  const bool set = number != nullptr &&
                   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

bool SetSubject(X509* certificate, const std::string& name) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const std::string& shown = name.size() <= kMaxCommonName ? name : std::string("postern");
  return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(shown.data()),
                                    static_cast<int>(shown.size()), -1, 0) == 1 &&
         X509_set_issuer_name(certificate, subject) == 1;
}

const EVP_MD* Digest(const EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
}

Result<X509Ptr> MakeCertificate(const std::vector<std::string>& names, int days, EVP_PKEY* key) {
  const Result<AlternativeNamesPtr> alternatives = MakeAlternativeNames(names);
  if (!alternatives) return std::unexpected(alternatives.error());
  X509Ptr certificate(X509_new());
  X509* x = certificate.get();
  const bool made = x != nullptr && X509_set_version(x, X509_VERSION_3) == 1 && SetSerial(x) &&
                    // An hour ago, for clients whose clocks are behind.
                    X509_gmtime_adj(X509_getm_notBefore(x), -3600) != nullptr &&
                    X509_time_adj_ex(X509_getm_notAfter(x), days, 0, nullptr) != nullptr &&
                    SetSubject(x, names.front()) && X509_set_pubkey(x, key) == 1 &&
                    AddExtension(x, NID_basic_constraints, "critical,CA:FALSE") &&
                    AddExtension(x, NID_ext_key_usage, "serverAuth") &&
                    AddExtension(x, NID_subject_key_identifier, "hash") &&
                    X509_add1_ext_i2d(x, NID_subject_alt_name, alternatives->get(), 0, 0) == 1 &&
                    X509_sign(x, key, Digest(key)) > 0;
  if (!made) return OpenSslFailed();
  return certificate;
}

std::vector<std::string> NamesOfThisHost() {
  std::vector<std::string> names;
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0 && IsHostName(host) &&
      std::string_view(host) != "localhost") {
    names.emplace_back(host);
  }
  names.insert(names.end(), {"localhost", "127.0.0.1", "::1"});
  return names;
}

}  // namespace

Result<PairTexts> MakeSelfSigned(const std::vector<std::string>& names, int days, KeyKind kind) {
  if (names.empty()) return Fail("a self-signed certificate needs a name", "give one or more");
  if (days < 1) return Fail("a self-signed certificate must be valid for a day or longer");
  const Result<KeyPtr> key = MakeKey(kind);
  if (!key) return std::unexpected(key.error());
  const Result<X509Ptr> certificate = MakeCertificate(names, days, key->get());
  if (!certificate) return std::unexpected(certificate.error());
  Result<std::string> certificate_pem = CertificatePem(certificate->get());
  if (!certificate_pem) return std::unexpected(certificate_pem.error());
  Result<SecretBytes> key_pem = KeyPem(key->get());
  if (!key_pem) return std::unexpected(key_pem.error());
  return PairTexts{std::move(*certificate_pem), std::move(*key_pem)};
}

Status InstallSelfSigned(const std::string& directory, const std::vector<std::string>& names,
                         int days, KeyKind kind) {
  Result<PairTexts> pair = MakeSelfSigned(names.empty() ? NamesOfThisHost() : names, days, kind);
  if (!pair) return std::unexpected(pair.error());
  return InstallPair(directory, "default", std::move(*pair));
}

}  // namespace postern::pki
