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
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "postern/pki/signature_schemes.h"
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

// All that the library can do and a policy could name, for keys that Postern serves.
const Offering& LibraryOffering() {
  static const Offering offering = [] {
    config::Policy all = *config::FindPolicy(config::BuiltInPolicies(), "old");
    all.ciphers = "ALL:!aNULL:!eNULL:!PSK:!SRP:!aDSS:@SECLEVEL=0";
    all.ciphersuites += ":TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";
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

constexpr uint32_t BitOf(pki::KeyFamily family) { return 1U << static_cast<uint32_t>(family); }
constexpr uint32_t kRsaFamilies = BitOf(pki::KeyFamily::kRsa) | BitOf(pki::KeyFamily::kRsaPss);
constexpr uint32_t kEcFamilies = BitOf(pki::KeyFamily::kEcdsa) | BitOf(pki::KeyFamily::kEdDsa);

// Bits of pki::KeyFamily for bits of pki::KeyClass.
uint32_t FamiliesOf(uint32_t key_kinds) {
  uint32_t families = 0;
  for (uint32_t kind = 0; kind < pki::kKeyClasses; ++kind) {
    if ((key_kinds >> kind & 1) != 0) families |= BitOf(FamilyOf(static_cast<pki::KeyClass>(kind)));
  }
  return families;
}

bool KeySuits(const Suite& suite, uint32_t families) {
  if (suite.authentication == NID_auth_any) return true;
  if (suite.authentication == NID_auth_ecdsa) return (families & kEcFamilies) != 0;
  if (suite.authentication != NID_auth_rsa) return false;
  // A key for RSASSA-PSS alone decrypts nothing.
  const bool decrypts = suite.key_exchange == NID_kx_rsa;
  return (families & (decrypts ? BitOf(pki::KeyFamily::kRsa) : kRsaFamilies)) != 0;
}

std::string_view KeyFor(const Suite& suite) {
  return suite.authentication == NID_auth_rsa ? "an RSA" : "an ECDSA";
}

struct Admission {
  uint16_t version;
  Suite suite;
};

std::optional<Admission> Admits(const Offering& offering, const ClientOffer& offer,
                                uint32_t families) {
  const uint16_t version = CommonVersion(offer, offering.min_version, offering.max_version);
  if (version == 0) return {};
  const bool tls13 = version == TLS1_3_VERSION;
  for (const Suite& suite : offering.suites) {
    if ((suite.min_version == TLS1_3_VERSION) != tls13 || suite.min_version > version) continue;
    if (!offer.OffersCipher(suite.id) || !KeySuits(suite, families)) continue;
    // RFC 8422 section 4: a client that names no groups takes any; in TLS 1.3 it has to name some.
    const bool needs_group = tls13 || suite.key_exchange == NID_kx_ecdhe;
    const bool any_group = !tls13 && offer.groups.empty();
    if (needs_group && !any_group && !SharesGroup(offer, offering.groups)) continue;
    return Admission{version, suite};
  }
  return {};
}

// What of the library could serve, by a policy of the administrator's own.
std::string OwnPolicy(const Admission& found) {
  return fmt::format("{} with {} in its {}",
                     found.version < TLS1_2_VERSION ? "a policy on base = \"old\"" : "a policy",
                     found.suite.name,
                     found.version == TLS1_3_VERSION ? "ciphersuites" : "ciphers");
}

// With keys of `families`; `key` says so if they are not those that there are.
std::string HowToAdmitWith(const ClientOffer& offer, uint32_t families, bool say_key) {
  const auto key = [&](const Admission& found) {
    return say_key ? fmt::format(" and a certificate with {} key", KeyFor(found.suite))
                   : std::string();
  };
  for (const Offering& offering : BuiltInOfferings()) {
    if (const auto found = Admits(offering, offer, families)) {
      return fmt::format("; policy = \"{}\"{} would admit it ({}, {})", offering.name, key(*found),
                         VersionName(found->version), found->suite.name);
    }
  }
  if (const auto found = Admits(LibraryOffering(), offer, families)) {
    return fmt::format("; {}{} would admit it ({})", OwnPolicy(*found), key(*found),
                       VersionName(found->version));
  }
  return {};
}

// Why a suite that the library has is none that Postern serves; empty when it is one.
std::string_view Unserved(const SSL_CIPHER* cipher) {
  switch (SSL_CIPHER_get_auth_nid(cipher)) {
    case NID_auth_null:
      return "are without authentication";
    case NID_auth_psk:
      return "need a pre-shared key";
    case NID_auth_srp:
      return "need a password (SRP)";
    case NID_auth_dss:
      return "need a DSA key";
    default:
      break;
  }
  switch (SSL_CIPHER_get_kx_nid(cipher)) {
    case NID_kx_psk:
    case NID_kx_rsa_psk:
    case NID_kx_ecdhe_psk:
    case NID_kx_dhe_psk:
      return "need a pre-shared key";
    case NID_kx_srp:
      return "need a password (SRP)";
    default:
      break;
  }
  return SSL_CIPHER_get_cipher_nid(cipher) == NID_undef ? "are without encryption" : "";
}

}  // namespace

std::string HowToAdmit(const ClientOffer& offer, uint32_t key_kinds) {
  const uint32_t families = FamiliesOf(key_kinds);
  std::string how = HowToAdmitWith(offer, families, false);
  return how.empty() ? HowToAdmitWith(offer, kRsaFamilies | kEcFamilies, true) : how;
}

std::string WhyNoneServes(SSL* ssl, const ClientOffer& offer) {
  std::vector<std::string_view> reasons;
  bool servable = false;
  for (const uint16_t id : offer.ciphers) {
    const std::array<unsigned char, 2> octets = {static_cast<unsigned char>(id >> 8),
                                                 static_cast<unsigned char>(id & 0xFF)};
    const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, octets.data());
    if (cipher == nullptr) continue;
    const std::string_view reason = Unserved(cipher);
    servable = servable || reason.empty();
    if (!reason.empty() && std::ranges::count(reasons, reason) == 0) reasons.push_back(reason);
  }
  if (servable) return {};
  if (reasons.empty()) return fmt::format("; {} has none of them", LibraryName());
  return fmt::format("; those that {} has {}, which no policy serves", LibraryName(),
                     fmt::join(reasons, " or "));
}

std::string HowToAdmitGroups(const ClientOffer& offer) {
  for (const uint16_t group : offer.groups) {
    const std::string_view name = GroupName(group);
    if (name.empty() || !KnowsGroup(name)) continue;
    return fmt::format("; a policy with {} in its groups would admit it", name);
  }
  return fmt::format("; {} has none of them", LibraryName());
}

std::string KeyThatWouldServe(SSL* ssl, const ClientOffer& offer, uint32_t key_kinds) {
  const uint32_t families = FamiliesOf(key_kinds);
  for (const Suite& suite : SuitesOf(SSL_get_ciphers(ssl))) {
    if (!offer.OffersCipher(suite.id) || KeySuits(suite, families)) continue;
    return fmt::format("; a certificate with {} key for this name would serve it ({})",
                       KeyFor(suite), suite.name);
  }
  return {};
}

bool KeySuitsSharedSuite(SSL* ssl, const ClientOffer& offer, uint32_t key_kinds) {
  const uint32_t families = FamiliesOf(key_kinds);
  const std::vector<Suite> suites = SuitesOf(SSL_get_ciphers(ssl));
  return std::ranges::any_of(suites, [&](const Suite& suite) {
    return offer.OffersCipher(suite.id) && KeySuits(suite, families);
  });
}

std::string CurveThatWouldServe(const ClientOffer& offer) {
  constexpr std::array<uint16_t, 3> kCurves = {23, 24, 25};
  const auto curve =
      std::ranges::find_if(kCurves, [&](uint16_t known) { return offer.OffersGroup(known); });
  if (curve == kCurves.end()) return {};
  return fmt::format("; a certificate with an EC {} key for this name would serve it",
                     GroupName(*curve));
}

std::string HowToAdmitSignatures(const Signing& signing, const ClientOffer& offer) {
  const SchemeRemedy remedy = FindRemedy(signing, offer.signatures);
  if (remedy.scheme == 0) return {};
  const std::string name = SchemeName(remedy.scheme);
  const std::string key =
      remedy.has_key ? std::string() : fmt::format("a certificate with {}", remedy.key);
  if (remedy.needs_sha1) {
    return fmt::format("; policy = \"old\"{}{} would admit it ({})", key.empty() ? "" : " and ",
                       key, name);
  }
  if (remedy.has_key) {
    return fmt::format("; a policy with {} in its signature_algorithms would admit it", name);
  }
  return fmt::format("; {} for this name would serve it ({})", key, name);
}

}  // namespace postern::tls
