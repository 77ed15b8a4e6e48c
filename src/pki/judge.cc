// Judging certificates. What nobody can be served with is refused wherever a certificate comes in,
// at import as by LoadPair; the rest is the commands', and LoadPair serves what is merely unwise.
#include "postern/pki/judge.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "postern/pki/describe.h"

namespace postern::pki {
namespace {

constexpr int64_t kDay = 86'400;

constexpr const char* kNewKey =
    "make a new one, EC P-256 or RSA 2048 and more (postern cert csr), and have the certificate "
    "issued for it";

bool HasDnsName(const X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  ERR_clear_error();
  bool has = false;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const int type = sk_GENERAL_NAME_value(names, i)->type;
    has = has || type == GEN_DNS || type == GEN_IPADD;
  }
  GENERAL_NAMES_free(names);
  return has;
}

}  // namespace

std::vector<Error> Unservable(X509* certificate, Role role, const std::string& what) {
  std::vector<Error> faults;
  const bool server = role == Role::kServer;
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  const std::string weak_key = key == nullptr ? std::string() : WeakKey(key);
  if (!weak_key.empty()) {
    faults.push_back({fmt::format("the key of {} is only {}", what, weak_key),
                      server ? kNewKey
                      : X509_self_signed(certificate, 0) == 1
                          ? "leave this root out: clients that trust it have it"
                          : "ask the authority for an intermediate with a longer key, and for a "
                            "certificate issued by that",
                      {}});
  }
  if (server && key != nullptr && IsOddCurve(key)) {
    faults.push_back(
        {fmt::format("the key of {} is {}, a curve that clients do not offer", what, KeyType(key)),
         kNewKey,
         {}});
  }
  const std::string weak_signature = WeakSignature(certificate);
  if (!weak_signature.empty()) {
    faults.push_back({fmt::format("{} is signed with {}", what, weak_signature),
                      server ? "no client takes that: have it issued anew with SHA-256"
                             : "ask the authority for it signed with SHA-256; if it stands for a "
                               "root that clients have, leave it out",
                      {}});
  }
  ERR_clear_error();
  return faults;
}

std::vector<Error> FaultsOf(X509* certificate, Role role, const std::string& what, int64_t now) {
  std::vector<Error> faults;
  const Period period = PeriodOf(certificate);
  if (period.not_after < now) {
    faults.push_back({fmt::format("{} expired at {}", what, TimeText(period.not_after)),
                      "have it renewed; clients refuse it",
                      {}});
  } else if (period.not_before > now) {
    faults.push_back(
        {fmt::format("{} is not valid before {}", what, TimeText(period.not_before)),
         fmt::format("look at this machine's clock ({} now), or wait until then", TimeText(now)),
         {}});
  }
  for (Error& fault : Unservable(certificate, role, what)) faults.push_back(std::move(fault));
  return faults;
}

std::vector<Error> RemarksOf(X509* certificate, const std::string& what, int64_t now) {
  std::vector<Error> remarks;
  const int64_t left = PeriodOf(certificate).not_after - now;
  if (left >= 0 && left < kExpiresSoonDays * kDay) {
    remarks.push_back(
        {fmt::format("{} expires in {} day{}", what, left / kDay, left / kDay == 1 ? "" : "s"),
         "have it renewed",
         {}});
  }
  if (!HasDnsName(certificate)) {
    const bool by_common_name = !HostNames(certificate).empty();
    remarks.push_back({by_common_name
                           ? fmt::format("{} names its host in the subject alone, where clients no "
                                         "longer look",
                                         what)
                           : fmt::format("{} names no host", what),
                       "have it issued with the host's name as subjectAltName",
                       {}});
  }
  const uint32_t usage = X509_get_extended_key_usage(certificate);
  if (usage != UINT32_MAX && (usage & (XKU_SSL_SERVER | XKU_ANYEKU)) == 0) {
    remarks.push_back({fmt::format("{} is not for servers (its extended key usage has no "
                                   "serverAuth)",
                                   what),
                       "have one issued for a TLS server",
                       {}});
  }
  if (X509_self_signed(certificate, 0) == 1) {
    remarks.push_back({fmt::format("{} is self-signed", what),
                       "clients trust it only when they are told to, one by one",
                       {}});
  } else if (X509_check_ca(certificate) == 1) {
    remarks.push_back({fmt::format("{} is an authority's", what),
                       "have one issued for the server itself; some clients refuse this one",
                       {}});
  }
  ERR_clear_error();
  return remarks;
}

bool KeyIsWhole(EVP_PKEY* key) {
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr);
  const bool whole = context != nullptr && EVP_PKEY_pairwise_check(context) == 1;
  EVP_PKEY_CTX_free(context);
  ERR_clear_error();
  return whole;
}

}  // namespace postern::pki
