// Facts of certificates and keys. Names are taken by type and checked octet by octet: a
// certificate is written by somebody else, and what it says ends in a table of host names, in log
// lines and on terminals.
#include "postern/pki/describe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>
#include <ctime>

#include "pki/names.h"
#include "postern/pki/signature_schemes.h"

namespace postern::pki {
namespace {

// OpenSSL's security level 2, at which certificates are served whatever the policy.
constexpr int kLeastSecurityBits = 112;

std::string_view Text(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<size_t>(ASN1_STRING_length(string))};
}

std::string CommonName(const X509* certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* utf8 = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) {
    ERR_clear_error();
    return {};
  }
  std::string name(reinterpret_cast<char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return name;
}

// Printable replaces what could move a terminal's cursor.
std::string Printable(std::string_view text) {
  std::string clean;
  for (const char c : text) clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return clean;
}

std::string AddressText(const ASN1_OCTET_STRING* octets) {
  char text[INET6_ADDRSTRLEN] = {};
  const int size = ASN1_STRING_length(octets);
  if (size != 4 && size != 16) return "(odd address)";
  ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(octets), text, sizeof text);
  return text;
}

// Takes `names` and frees them.
std::vector<std::string> TextsOf(GENERAL_NAMES* names) {
  std::vector<std::string> texts;
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names);
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI) {
      texts.push_back(Printable(Text(name->d.ia5)));
    } else if (name->type == GEN_IPADD) {
      texts.push_back(AddressText(name->d.iPAddress));
    } else {
      texts.emplace_back("(a name of another kind)");
    }
  }
  GENERAL_NAMES_free(names);
  return texts;
}

int64_t Seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    ERR_clear_error();
    return 0;
  }
  return ::timegm(&parts);
}

}  // namespace

std::string KeyType(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return fmt::format("RSA {}", bits);
    case EVP_PKEY_RSA_PSS:
      return fmt::format("RSA-PSS {}", bits);
    case EVP_PKEY_EC: {
      char group[80] = {};
      size_t size = 0;
      if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) != 1) {
        ERR_clear_error();
        return fmt::format("EC {}", bits);
      }
      const char* nist = EC_curve_nid2nist(OBJ_txt2nid(group));
      return fmt::format("EC {}", nist != nullptr ? nist : group);
    }
    default: {
      const char* name = EVP_PKEY_get0_type_name(key);
      return name != nullptr ? name : "unknown";
    }
  }
}

std::string PublicKeyDigest(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) {
    ERR_clear_error();
    return "unknown";
  }
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  unsigned length = 0;
  EVP_Digest(der, static_cast<size_t>(size), digest, &length, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  std::string text;
  for (size_t i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string KeyFingerprint(const EVP_PKEY* key) { return PublicKeyDigest(key).substr(0, 16); }

std::string Fingerprint(const X509* certificate, const EVP_MD* digest) {
  unsigned char octets[EVP_MAX_MD_SIZE] = {};
  unsigned length = 0;
  if (X509_digest(certificate, digest, octets, &length) != 1) ERR_clear_error();
  std::string text;
  for (size_t i = 0; i < length; ++i) text += fmt::format("{}{:02X}", i == 0 ? "" : ":", octets[i]);
  return text;
}

std::string NameText(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr) return "(no subject)";
  // RFC 2253 form without control characters (ASN1_STRFLGS_ESC_CTRL is part of it).
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  if (size <= 0) return "(no subject)";
  return {data, static_cast<size_t>(size)};
}

std::string Subject(const X509* certificate) {
  return NameText(X509_get_subject_name(certificate));
}

std::string Issuer(const X509* certificate) { return NameText(X509_get_issuer_name(certificate)); }

std::string IssuerUrl(const X509* certificate) {
  auto* access = static_cast<AUTHORITY_INFO_ACCESS*>(
      X509_get_ext_d2i(certificate, NID_info_access, nullptr, nullptr));
  ERR_clear_error();
  std::string url;
  const int count = access == nullptr ? 0 : sk_ACCESS_DESCRIPTION_num(access);
  for (int i = 0; i < count && url.empty(); ++i) {
    const ACCESS_DESCRIPTION* entry = sk_ACCESS_DESCRIPTION_value(access, i);
    if (OBJ_obj2nid(entry->method) != NID_ad_ca_issuers || entry->location->type != GEN_URI) {
      continue;
    }
    url = Printable(Text(entry->location->d.uniformResourceIdentifier));
  }
  AUTHORITY_INFO_ACCESS_free(access);
  return url;
}

std::string WeakSignature(X509* certificate) {
  int digest = NID_undef;
  int key = NID_undef;
  int bits = 0;
  const bool known = X509_get_signature_info(certificate, &digest, &key, &bits, nullptr) == 1;
  const bool weak = (!known || bits < kLeastSecurityBits) && X509_self_signed(certificate, 0) != 1;
  ERR_clear_error();  // X509_self_signed leaves its complaints about an odd certificate
  if (!weak) return {};
  if (digest == NID_sha1) return "SHA-1";
  if (digest == NID_md5) return "MD5";
  const int algorithm = digest != NID_undef ? digest : X509_get_signature_nid(certificate);
  return algorithm == NID_undef ? "an algorithm that OpenSSL does not know" : OBJ_nid2ln(algorithm);
}

std::string WeakKey(const EVP_PKEY* key) {
  const int id = EVP_PKEY_get_base_id(key);
  const bool rsa = id == EVP_PKEY_RSA || id == EVP_PKEY_RSA_PSS;
  const int bits = EVP_PKEY_get_bits(key);
  if (!(rsa && bits < 2048) && EVP_PKEY_get_security_bits(key) >= kLeastSecurityBits) return {};
  return KeyType(key);
}

bool IsOddCurve(const EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && KindOf(key) == KeyClass::kOther;
}

std::vector<std::string> HostNames(const X509* certificate) {
  std::vector<std::string> names;
  auto* alternatives = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  ERR_clear_error();  // an extension that does not decode counts as none
  const int count = alternatives == nullptr ? 0 : sk_GENERAL_NAME_num(alternatives);
  bool has_dns_name = false;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, i);
    if (name->type != GEN_DNS) continue;
    has_dns_name = true;
    AddHostName(names, Text(name->d.dNSName));
  }
  GENERAL_NAMES_free(alternatives);
  // RFC 6125 section 6.4.4: the CN only when there is no dNSName.
  if (!has_dns_name) AddHostName(names, CommonName(certificate));
  return names;
}

std::vector<std::string> AlternativeNames(const X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  ERR_clear_error();
  return TextsOf(names);
}

std::vector<std::string> NamesNotAscii(const X509* certificate) {
  auto* alternatives = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  ERR_clear_error();
  std::vector<std::string> names;
  for (int i = 0; alternatives != nullptr && i < sk_GENERAL_NAME_num(alternatives); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, i);
    if (name->type != GEN_DNS) continue;
    const std::string_view text = Text(name->d.dNSName);
    const auto foreign = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
    if (std::ranges::any_of(text, foreign)) names.push_back(Printable(text));
  }
  GENERAL_NAMES_free(alternatives);
  return names;
}

std::vector<std::string> AlternativeNames(const X509_REQ* request) {
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(const_cast<X509_REQ*>(request));
  auto* names = static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  ERR_clear_error();
  return TextsOf(names);
}

Period PeriodOf(const X509* certificate) {
  return {Seconds(X509_get0_notBefore(certificate)), Seconds(X509_get0_notAfter(certificate))};
}

std::string TimeText(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min);
}

}  // namespace postern::pki
