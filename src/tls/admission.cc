// The built-in policies are tried on the client's offer, strictest first: an administrator should
// open a listener no further than the client needs. What is beyond all of them may still be within
// the library.
//
// Failures are rare and the lists short, so nothing is sorted. The tables are made once per
// process, when the first handshake fails.
#include "tls/admission.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "postern/tls/policy.h"
#include "tls/names.h"
#include "tls/policy_knobs.h"

namespace postern::tls {
namespace {

struct Suite {
  uint16_t id = 0;
  uint16_t min_version = 0;
  int key_exchange = 0;    // NID_kx_*
  int authentication = 0;  // NID_auth_*
  std::string_view name;   // libssl's, static
};

struct Offering {
  std::string name;
  uint16_t min_version = 0;
  uint16_t max_version = 0;
  std::vector<Suite> suites;  // best first
  std::vector<uint16_t> groups;
};

uint16_t OldestVersion(const SSL_CIPHER* cipher) {
  const std::string_view version = SSL_CIPHER_get_version(cipher);
  if (version == "TLSv1.3") return TLS1_3_VERSION;
  if (version == "TLSv1.2") return TLS1_2_VERSION;
  return version == "SSLv3" ? SSL3_VERSION : TLS1_VERSION;
}

std::vector<Suite> SuitesOf(const STACK_OF(SSL_CIPHER) * ciphers) {
  std::vector<Suite> suites;
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
    suites.push_back({SSL_CIPHER_get_protocol_id(cipher), OldestVersion(cipher),
                      SSL_CIPHER_get_kx_nid(cipher), SSL_CIPHER_get_auth_nid(cipher),
                      SSL_CIPHER_get_name(cipher)});
  }
  return suites;
}

Offering OfferingOf(const generation::PolicySettings& policy) {
  Offering offering{std::string(policy.name),
                    policy.min_version,
                    policy.max_version,
                    {},
                    GroupNumbers(policy.groups)};
  const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr || !ApplyPolicy(context.get(), policy)) return offering;
  offering.suites = SuitesOf(SSL_CTX_get_ciphers(context.get()));
  return offering;
}

const std::vector<Offering>& BuiltInOfferings() {
  static const std::vector<Offering> offerings = [] {
    std::vector<Offering> made;
    for (const config::Policy& policy : config::BuiltInPolicies()) {
      made.push_back(OfferingOf(generation::SettingsOf(policy)));
    }
    ERR_clear_error();
    return made;
  }();
  return offerings;
}

// All that the library can do and a policy could name; without a certificate is not among it.
const Offering& LibraryOffering() {
  static const Offering offering = [] {
    config::Policy all = *config::FindPolicy(config::BuiltInPolicies(), "old");
    all.ciphers = "ALL:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0";
    Offering made = OfferingOf(generation::SettingsOf(all));
    ERR_clear_error();
    return made;
  }();
  return offering;
}

// The newest version that both have; 0: none.
uint16_t CommonVersion(const ClientOffer& offer, uint16_t least, uint16_t most) {
  uint16_t best = 0;
  for (const uint16_t version : offer.versions) {
    // Without supported_versions the one version is the newest, and TLSv1.3 is not offered
    // (RFC 8446 section 4.1.2).
    const uint16_t newest = std::min(
        {version, most, offer.lists_versions ? most : static_cast<uint16_t>(TLS1_2_VERSION)});
    if (offer.lists_versions ? version >= least && version <= most : newest >= least) {
      best = std::max(best, newest);
    }
  }
  return best;
}

bool SharesGroup(const ClientOffer& offer, const std::vector<uint16_t>& groups) {
  return std::ranges::any_of(groups, [&](uint16_t group) { return offer.OffersGroup(group); });
}

bool KeySuits(int authentication, int key) {
  if (key == EVP_PKEY_NONE || authentication == NID_auth_any) return true;
  if (authentication == NID_auth_rsa) return key == EVP_PKEY_RSA || key == EVP_PKEY_RSA_PSS;
  if (authentication == NID_auth_ecdsa) return key != EVP_PKEY_RSA && key != EVP_PKEY_RSA_PSS;
  return false;
}

int KeyOf(const SSL* ssl) {
  const X509* certificate = SSL_get_certificate(ssl);
  const EVP_PKEY* key = certificate == nullptr ? nullptr : X509_get0_pubkey(certificate);
  return key == nullptr ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
}

struct Admission {
  uint16_t version;
  std::string_view suite;
};

std::optional<Admission> Admits(const Offering& offering, const ClientOffer& offer, int key) {
  const uint16_t version = CommonVersion(offer, offering.min_version, offering.max_version);
  if (version == 0) return {};
  const bool tls13 = version == TLS1_3_VERSION;
  for (const Suite& suite : offering.suites) {
    if ((suite.min_version == TLS1_3_VERSION) != tls13 || suite.min_version > version) continue;
    if (!offer.OffersCipher(suite.id) || !KeySuits(suite.authentication, key)) continue;
    // RFC 8422 section 4: a client that names no groups takes any; in TLS 1.3 it has to name some.
    const bool needs_group = tls13 || suite.key_exchange == NID_kx_ecdhe;
    const bool any_group = !tls13 && offer.groups.empty();
    if (needs_group && !any_group && !SharesGroup(offer, offering.groups)) continue;
    return Admission{version, suite.name};
  }
  return {};
}

}  // namespace

std::string HowToAdmit(const SSL* ssl, const ClientOffer& offer) {
  const int key = KeyOf(ssl);
  for (const Offering& offering : BuiltInOfferings()) {
    if (const auto found = Admits(offering, offer, key)) {
      return fmt::format("; policy = \"{}\" would admit it ({}, {})", offering.name,
                         VersionName(found->version), found->suite);
    }
  }
  if (const auto found = Admits(LibraryOffering(), offer, key)) {
    return fmt::format("; a policy with {} in its ciphers would admit it ({})", found->suite,
                       VersionName(found->version));
  }
  return {};
}

std::string HowToAdmitGroups(const ClientOffer& offer) {
  for (const uint16_t group : offer.groups) {
    const std::string_view name = GroupName(group);
    if (name.empty() || !KnowsGroup(name)) continue;
    return fmt::format("; a policy with {} in its groups would admit it", name);
  }
  return fmt::format("; {} has none of them", LibraryName());
}

std::string KeyThatWouldServe(SSL* ssl, const ClientOffer& offer) {
  const int key = KeyOf(ssl);
  for (const Suite& suite : SuitesOf(SSL_get_ciphers(ssl))) {
    if (!offer.OffersCipher(suite.id) || KeySuits(suite.authentication, key)) continue;
    return fmt::format("; a certificate with {} key for this name would serve it ({})",
                       suite.authentication == NID_auth_rsa ? "an RSA" : "an ECDSA", suite.name);
  }
  return {};
}

}  // namespace postern::tls
