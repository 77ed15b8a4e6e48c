// Authorities and revocation lists, as OpenSSL reads them.
//
// What is odd here is said at `postern check` and not at the first client: a revocation list that
// is out of date, or one missing for an authority, makes libcrypto refuse every client.
#include "postern/pki/trust.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string_view>

#include "postern/os/files.h"
#include "postern/pki/certificate.h"
#include "postern/pki/describe.h"

namespace postern::pki {
namespace {

struct CrlDelete {
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
};
using CrlPtr = std::unique_ptr<X509_CRL, CrlDelete>;

template <typename T, typename Encode>
std::vector<unsigned char> ToDer(T* object, Encode encode) {
  const int size = encode(object, nullptr);
  std::vector<unsigned char> der(size > 0 ? static_cast<size_t>(size) : 0);
  unsigned char* at = der.data();
  if (!der.empty()) encode(object, &at);
  return der;
}

BioPtr MemoryBio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A passphrase is never asked for: what is read here is public.
int NoPassphrase(char*, int, int, void*) { return 0; }

// The end of a PEM file is an error to OpenSSL; any other one is an error to us.
bool AtEnd() {
  const unsigned long code = ERR_peek_last_error();
  const bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

int64_t SecondsLeft(const ASN1_TIME* until, int64_t now) {
  tm parts{};
  if (ASN1_TIME_to_tm(until, &parts) != 1) return 0;
  return static_cast<int64_t>(timegm(&parts)) - now;
}

Result<std::vector<X509Ptr>> ReadAuthorities(const std::string& path) {
  Result<std::string> text = os::ReadFile(path);
  if (!text) return std::unexpected(text.error());
  ERR_clear_error();
  const BioPtr bio = MemoryBio(*text);
  std::vector<X509Ptr> certificates;
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr)}) {
    certificates.push_back(std::move(certificate));
    if (certificates.size() > kMaxTrusted) {
      return Fail(fmt::format("{} holds more than {} certificates", path, kMaxTrusted),
                  "keep the authorities that are to be trusted");
    }
  }
  if (!AtEnd()) {
    return Fail(fmt::format("a certificate in {} is damaged: {}", path, OpenSslErrors()),
                "write the file anew");
  }
  if (!certificates.empty()) return certificates;
  return Fail(fmt::format("{} holds no certificate in PEM form", path),
              "name a PEM file with the CA certificates; from DER: openssl x509 -inform DER -in "
              "FILE -out FILE.pem");
}

Result<std::vector<CrlPtr>> ReadLists(const std::string& path) {
  Result<std::string> text = os::ReadFile(path);
  if (!text) return std::unexpected(text.error());
  ERR_clear_error();
  std::vector<CrlPtr> lists;
  if (text->starts_with('\x30')) {
    const auto* at = reinterpret_cast<const unsigned char*>(text->data());
    lists.emplace_back(d2i_X509_CRL(nullptr, &at, static_cast<long>(text->size())));
    if (lists.back() != nullptr) return lists;
    return Fail(fmt::format("the revocation list {} is damaged: {}", path, OpenSslErrors()),
                "fetch it again from its authority");
  }
  const BioPtr bio = MemoryBio(*text);
  while (CrlPtr list{PEM_read_bio_X509_CRL(bio.get(), nullptr, NoPassphrase, nullptr)}) {
    lists.push_back(std::move(list));
    if (lists.size() > kMaxRevocationLists) {
      return Fail(fmt::format("{} holds more than {} revocation lists", path, kMaxRevocationLists),
                  "keep those of the authorities in client_ca");
    }
  }
  if (!AtEnd()) {
    return Fail(fmt::format("a revocation list in {} is damaged: {}", path, OpenSslErrors()),
                "fetch it again from its authority");
  }
  if (!lists.empty()) return lists;
  return Fail(fmt::format("{} holds no revocation list", path),
              "name a file with X509 CRL blocks (PEM), or with one list in DER");
}

void LookAtAuthority(const X509* certificate, const std::string& path, int64_t now,
                     TrustedFor trusted_for, std::vector<Error>& warnings) {
  const bool clients = trusted_for == TrustedFor::kClients;
  // X509_check_ca caches within the object and so wants a mutable one.
  if (clients && X509_check_ca(const_cast<X509*>(certificate)) == 0) {
    warnings.push_back({fmt::format("{} in {} is no authority's certificate: it lets in nobody",
                                    Subject(certificate), path),
                        "name the certificate that signed the clients' ones"});
  }
  if (SecondsLeft(X509_get0_notAfter(certificate), now) < 0) {
    warnings.push_back({fmt::format("the authority {} in {} expired on {}", Subject(certificate),
                                    path, TimeText(PeriodOf(certificate).not_after)),
                        fmt::format("put its successor there; {} of this one are refused",
                                    clients ? "clients" : "servers")});
  }
}

void LookAtList(const X509_CRL* list, const std::string& path,
                const std::vector<X509Ptr>& authorities, int64_t now,
                std::vector<Error>& warnings) {
  const X509_NAME* issuer = X509_CRL_get_issuer(list);
  const ASN1_TIME* next = X509_CRL_get0_nextUpdate(list);
  if (next != nullptr && SecondsLeft(next, now) < 0) {
    warnings.push_back(
        {fmt::format("the revocation list of {} in {} is out of date: its clients are refused",
                     NameText(issuer), path),
         "fetch the new one, and reload"});
  }
  for (const X509Ptr& authority : authorities) {
    if (X509_NAME_cmp(X509_get_subject_name(authority.get()), issuer) == 0) return;
  }
  warnings.push_back({fmt::format("the revocation list of {} in {} is of no authority in client_ca",
                                  NameText(issuer), path),
                      "remove it, or add the authority"});
}

void LookForLists(const std::vector<X509Ptr>& authorities, const std::vector<CrlPtr>& lists,
                  const std::string& path, std::vector<Error>& warnings) {
  for (const X509Ptr& authority : authorities) {
    bool found = false;
    for (const CrlPtr& list : lists) {
      found |= X509_NAME_cmp(X509_get_subject_name(authority.get()),
                             X509_CRL_get_issuer(list.get())) == 0;
    }
    if (found) continue;
    warnings.push_back({fmt::format("there is no revocation list of {} in {}: its clients are "
                                    "refused",
                                    Subject(authority.get()), path),
                        "add its list to client_crl, or remove client_crl"});
  }
}

}  // namespace

Result<Trust> LoadTrust(const std::string& ca_path, const std::vector<std::string>& crl_paths,
                        int64_t now, TrustedFor trusted_for) {
  auto authorities = ReadAuthorities(ca_path);
  if (!authorities) return std::unexpected(authorities.error());
  Trust trust;
  for (const X509Ptr& authority : *authorities) {
    LookAtAuthority(authority.get(), ca_path, now, trusted_for, trust.warnings);
    trust.certificates.push_back(ToDer(authority.get(), i2d_X509));
  }
  std::vector<CrlPtr> all;
  for (const std::string& path : crl_paths) {
    auto lists = ReadLists(path);
    if (!lists) return std::unexpected(lists.error());
    for (CrlPtr& list : *lists) {
      LookAtList(list.get(), path, *authorities, now, trust.warnings);
      trust.crls.push_back(ToDer(list.get(), i2d_X509_CRL));
      all.push_back(std::move(list));
    }
  }
  if (!crl_paths.empty()) LookForLists(*authorities, all, ca_path, trust.warnings);
  ERR_clear_error();
  return trust;
}

}  // namespace postern::pki
