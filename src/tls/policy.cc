// Policies against the linked library, when the configuration is checked: what it lacks should be
// known then, not when the first client comes that would have needed it.
#include "postern/tls/policy.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include <string_view>

#include "tls/names.h"
#include "tls/openssl_error.h"
#include "tls/policy_knobs.h"

namespace postern::tls {
namespace {

class PolicyCheck {
 public:
  PolicyCheck(const config::Policy& policy, std::vector<Error>& faults)
      : policy_(policy), faults_(faults) {}

  void Run() {
    const size_t before = faults_.size();
    CheckVersions();
    CheckList("cipher", policy_.ciphers, ": ;,", policy_.places.ciphers, &PolicyCheck::CipherFits);
    CheckList("TLSv1.3 suite", policy_.ciphersuites, ":", policy_.places.ciphersuites,
              &PolicyCheck::SuiteFits);
    CheckList("group", policy_.groups, ":", policy_.places.groups, &PolicyCheck::GroupFits);
    CheckList("signature algorithm", policy_.signature_algorithms, ":",
              policy_.places.signature_algorithms, &PolicyCheck::AlgorithmFits);
    if (faults_.size() == before) CheckWhole();
  }

 private:
  static bool CipherFits(std::string_view element) {
    // What is taken away need not be there; "@STRENGTH" and "@SECLEVEL=1" are tried with the rest.
    const char first = element.front();
    if (first == '!' || first == '-' || first == '@') return true;
    return KnowsCipher(first == '+' ? element.substr(1) : element);
  }
  static bool SuiteFits(std::string_view element) { return KnowsSuite(element); }
  static bool GroupFits(std::string_view element) { return KnowsGroup(element); }
  static bool AlgorithmFits(std::string_view element) { return KnowsSignatureAlgorithm(element); }

  void CheckVersions() {
    if (policy_.places.versions.line == 0) return;
    for (uint16_t version = policy_.min_version; version <= policy_.max_version; ++version) {
      if (KnowsVersion(version)) continue;
      faults_.push_back({fmt::format("the policy \"{}\" asks for {}, which {} does not have",
                                     policy_.name, VersionName(version), LibraryName()),
                         "take it out of versions", policy_.places.versions});
    }
  }

  void CheckList(std::string_view kind, std::string_view list, std::string_view separators,
                 const Where& place, bool (*fits)(std::string_view)) {
    if (place.line == 0) return;
    for (const std::string_view element : Elements(list, separators)) {
      if (fits(element)) continue;
      faults_.push_back(
          {fmt::format("the policy \"{}\" asks for the {} {}, which {} does not have", policy_.name,
                       kind, element, LibraryName()),
           kind == "group" && element.find("MLKEM") != std::string_view::npos
               ? "take it out: the built-in policies have it where OpenSSL does (3.5 on)"
           : kind == "group" || kind == "signature algorithm"
               ? "correct the name, or take it out"
               : fmt::format("correct the name, or take it out; `openssl ciphers {}` lists what "
                             "there is",
                             kind == "cipher" ? "-v ALL:@SECLEVEL=0" : "-s -tls1_3"),
           place});
    }
  }

  // Every element is known; whether the whole can serve is another matter.
  void CheckWhole() {
    ERR_clear_error();
    const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
    if (context == nullptr || !ApplyPolicy(context.get(), generation::SettingsOf(policy_))) {
      faults_.push_back(
          {fmt::format("the policy \"{}\" cannot be used: {}", policy_.name, TakeOpensslError()),
           "give every list at least one element", policy_.where});
      return;
    }
    CheckCiphers(context.get());
    for (uint16_t version = policy_.min_version; version <= policy_.max_version; ++version) {
      if (HasCipher(context.get(), version)) continue;
      const bool tls13 = version == TLS1_3_VERSION;
      faults_.push_back(
          {fmt::format("the policy \"{}\" allows {}, but none of its {} can be used with it",
                       policy_.name, VersionName(version), tls13 ? "suites" : "ciphers"),
           tls13 ? "add TLS_AES_128_GCM_SHA256 to ciphersuites"
                 : "begin with base = \"old\", or add ciphers such as ECDHE-RSA-AES128-SHA; or "
                   "take the version out of versions",
           policy_.places.versions.line != 0 ? policy_.places.versions : policy_.where});
    }
    ERR_clear_error();
  }

  // Without authentication anybody in between can be the server, without encryption read along: to
  // serve that is not to serve TLS, and no client of mail needs it. The security level keeps them
  // out until somebody lowers it.
  void CheckCiphers(SSL_CTX* context) {
    const SslPtr ssl(SSL_new(context));
    STACK_OF(SSL_CIPHER)* ciphers =
        ssl == nullptr ? nullptr : SSL_get1_supported_ciphers(ssl.get());
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
      const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(ciphers, i);
      const bool anonymous = SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null;
      if (!anonymous && SSL_CIPHER_get_cipher_nid(cipher) != NID_undef) continue;
      faults_.push_back(
          {fmt::format("the policy \"{}\" would serve {}, which is without {}", policy_.name,
                       SSL_CIPHER_get_name(cipher), anonymous ? "authentication" : "encryption"),
           "take it out of ciphers; where it comes from a word like ALL, add "
           ":!aNULL:!eNULL",
           policy_.places.ciphers.line != 0 ? policy_.places.ciphers : policy_.where});
      break;
    }
    sk_SSL_CIPHER_free(ciphers);
  }

  static bool HasCipher(SSL_CTX* context, uint16_t version) {
    const SslPtr ssl(SSL_new(context));
    if (ssl == nullptr || SSL_set_min_proto_version(ssl.get(), version) != 1 ||
        SSL_set_max_proto_version(ssl.get(), version) != 1) {
      return false;
    }
    STACK_OF(SSL_CIPHER)* ciphers = SSL_get1_supported_ciphers(ssl.get());
    const bool any = sk_SSL_CIPHER_num(ciphers) > 0;
    sk_SSL_CIPHER_free(ciphers);
    return any;
  }

  const config::Policy& policy_;
  std::vector<Error>& faults_;
};

}  // namespace

std::string LibraryName() {
  return fmt::format("OpenSSL {}", OpenSSL_version(OPENSSL_VERSION_STRING));
}

std::vector<Error> CheckPolicies(const config::Config& config) {
  std::vector<Error> faults;
  for (const config::Policy& policy : config.policies) {
    // The built-in ones are the same for everybody, and tested.
    if (policy.where.line != 0) PolicyCheck(policy, faults).Run();
  }
  return faults;
}

}  // namespace postern::tls
