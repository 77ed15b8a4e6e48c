#include "tls/peer_certificate.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"

namespace postern::tls {
namespace {

constexpr size_t kMaxName = 256;

std::string NameText(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  // UTF-8 stays as it is; what could end a line is escaped here and once more by the log.
  constexpr unsigned long kForm = XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB;
  if (bio == nullptr || X509_NAME_print_ex(bio.get(), name, 0, kForm) < 0) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  std::string text(data, static_cast<size_t>(size));
  if (text.size() > kMaxName) text = text.substr(0, kMaxName) + "...";
  return text;
}

// The last one counts where there are several (RFC 4514 writes it first).
std::string CommonName(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  int last = -1;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) last = at;
  if (last < 0) return {};
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last));
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, value);
  ERR_clear_error();
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  // To a server that ends texts at NUL (Dovecot) it would be another name.
  const bool whole = name.size() <= limits::kMaxProxyText && name.find('\0') == std::string::npos;
  return whole ? name : std::string();
}

struct GeneralNamesFree {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

// RFC 5280 section 4.2.1.6; the subject's emailAddress is out of use and says nothing here.
std::string Email(const X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, GeneralNamesFree> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_EMAIL) continue;
    const ASN1_IA5STRING* text = name->d.rfc822Name;
    std::string email(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
    return email.size() > limits::kMaxProxyText ? std::string() : email;
  }
  return {};
}

std::string FingerprintText(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  std::string text;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest.at(i));
  return text;
}

}  // namespace

std::string SubjectText(const X509* certificate) {
  return NameText(X509_get_subject_name(certificate));
}

std::string IssuerText(const X509* certificate) {
  return NameText(X509_get_issuer_name(certificate));
}

std::shared_ptr<const PeerCertificate> DescribePeer(const X509* certificate, bool verified) {
  return std::make_shared<const PeerCertificate>(
      PeerCertificate{SubjectText(certificate), IssuerText(certificate), CommonName(certificate),
                      Email(certificate), FingerprintText(certificate), verified});
}

std::string_view SignatureName(const X509* certificate) {
  const char* name = OBJ_nid2sn(X509_get_signature_nid(certificate));
  return name == nullptr ? std::string_view() : name;
}

std::string KeyName(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return fmt::format("RSA{}", bits);
    case EVP_PKEY_EC:
      return fmt::format("EC{}", bits);
    default: {
      const char* name = EVP_PKEY_get0_type_name(key);
      return name == nullptr ? std::string() : name;
    }
  }
}

}  // namespace postern::tls
