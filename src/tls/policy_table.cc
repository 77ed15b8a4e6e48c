// OpenSSL's own description of a cipher (SSL_CIPHER_description) is a line for people, in words of
// 1998 ("Enc=AESGCM(128)"); the facts behind it are numbers of objects, named here.
#include "postern/tls/policy_table.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include <algorithm>
#include <array>
#include <utility>

#include "postern/tls/policy.h"
#include "tls/names.h"
#include "tls/openssl_error.h"
#include "tls/policy_knobs.h"

namespace postern::tls {
namespace {

using Named = std::pair<int, std::string_view>;

template <size_t N>
std::string Name(const std::array<Named, N>& names, int nid) {
  const auto found = std::ranges::find(names, nid, &Named::first);
  if (found != names.end()) return std::string(found->second);
  const char* name = OBJ_nid2sn(nid);
  return name == nullptr ? "?" : name;
}

constexpr std::array<Named, 6> kKeyExchanges = {{{NID_kx_ecdhe, "ECDHE"},
                                                 {NID_kx_dhe, "DHE"},
                                                 {NID_kx_rsa, "RSA"},
                                                 {NID_kx_any, "any group"},
                                                 {NID_kx_psk, "PSK"},
                                                 {NID_kx_srp, "SRP"}}};
constexpr std::array<Named, 5> kAuthentications = {{{NID_auth_rsa, "RSA"},
                                                    {NID_auth_ecdsa, "ECDSA"},
                                                    {NID_auth_any, "any"},
                                                    {NID_auth_null, "none"},
                                                    {NID_auth_psk, "PSK"}}};
constexpr std::array<Named, 13> kEncryptions = {{{NID_aes_128_gcm, "AES-128-GCM"},
                                                 {NID_aes_256_gcm, "AES-256-GCM"},
                                                 {NID_chacha20_poly1305, "ChaCha20-Poly1305"},
                                                 {NID_aes_128_ccm, "AES-128-CCM"},
                                                 {NID_aes_256_ccm, "AES-256-CCM"},
                                                 {NID_aes_128_cbc, "AES-128-CBC"},
                                                 {NID_aes_256_cbc, "AES-256-CBC"},
                                                 {NID_camellia_128_cbc, "Camellia-128-CBC"},
                                                 {NID_camellia_256_cbc, "Camellia-256-CBC"},
                                                 {NID_aria_128_gcm, "ARIA-128-GCM"},
                                                 {NID_aria_256_gcm, "ARIA-256-GCM"},
                                                 {NID_des_ede3_cbc, "3DES-CBC"},
                                                 {NID_undef, "none"}}};
constexpr std::array<Named, 4> kMacs = {
    {{NID_sha1, "SHA-1"}, {NID_sha256, "SHA-256"}, {NID_sha384, "SHA-384"}, {NID_md5, "MD5"}}};

uint16_t OldestVersion(const SSL_CIPHER* cipher) {
  const std::string_view version = SSL_CIPHER_get_version(cipher);
  if (version == "TLSv1.3") return TLS1_3_VERSION;
  return version == "TLSv1.2" ? TLS1_2_VERSION : SSL3_VERSION;
}

std::string Range(uint16_t oldest, uint16_t newest) {
  return oldest == newest ? VersionName(oldest)
                          : fmt::format("{}-{}", VersionName(oldest), VersionName(newest));
}

PolicyRow RowOf(const SSL_CIPHER* cipher, const config::Policy& policy) {
  PolicyRow row;
  row.name = SSL_CIPHER_get_name(cipher);
  if (const char* name = SSL_CIPHER_standard_name(cipher)) row.standard_name = name;
  const uint16_t oldest = std::max(OldestVersion(cipher), policy.min_version);
  const uint16_t newest = oldest == TLS1_3_VERSION ? TLS1_3_VERSION : TLS1_2_VERSION;
  row.versions = Range(oldest, std::min(newest, policy.max_version));
  row.key_exchange = Name(kKeyExchanges, SSL_CIPHER_get_kx_nid(cipher));
  row.authentication = Name(kAuthentications, SSL_CIPHER_get_auth_nid(cipher));
  row.encryption = Name(kEncryptions, SSL_CIPHER_get_cipher_nid(cipher));
  row.bits = SSL_CIPHER_get_bits(cipher, nullptr);
  row.mac =
      SSL_CIPHER_is_aead(cipher) == 1 ? "AEAD" : Name(kMacs, SSL_CIPHER_get_digest_nid(cipher));
  return row;
}

void NoteLacking(const config::Policy& policy, PolicyTable& table) {
  const auto note = [&](std::string_view list, auto knows) {
    for (const std::string_view element : Elements(list)) {
      if (!knows(element)) table.lacking.emplace_back(element);
    }
  };
  // Cipher strings hold more than names; those of the built-in policies do not.
  if (policy.places.ciphers.line == 0 && policy.min_version < TLS1_3_VERSION) {
    note(policy.ciphers, KnowsCipher);
  }
  note(policy.ciphersuites, KnowsSuite);
  note(policy.groups, KnowsGroup);
  note(policy.signature_algorithms, KnowsSignatureAlgorithm);
}

}  // namespace

Result<PolicyTable> DescribePolicy(const config::Policy& policy) {
  ERR_clear_error();
  const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr || !ApplyPolicy(context.get(), generation::SettingsOf(policy))) {
    return Fail(fmt::format("the policy \"{}\" cannot be used with {}: {}", policy.name,
                            LibraryName(), TakeOpensslError()),
                "postern check says what is wrong with it", policy.where);
  }
  PolicyTable table;
  // What is enabled, without what no version of the policy can use.
  const SslPtr ssl(SSL_new(context.get()));
  STACK_OF(SSL_CIPHER)* ciphers = ssl == nullptr ? nullptr : SSL_get1_supported_ciphers(ssl.get());
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    table.rows.push_back(RowOf(sk_SSL_CIPHER_value(ciphers, i), policy));
  }
  sk_SSL_CIPHER_free(ciphers);
  for (uint16_t version = policy.min_version; version <= policy.max_version; ++version) {
    table.versions += (table.versions.empty() ? "" : ", ") + VersionName(version);
  }
  for (const uint16_t group : GroupNumbers(policy.groups)) {
    table.groups.emplace_back(GroupName(group));
  }
  table.signature_algorithms = policy.signature_algorithms;
  table.security_level = SSL_CTX_get_security_level(context.get());
  table.server_preference = policy.server_preference;
  NoteLacking(policy, table);
  ERR_clear_error();
  return table;
}

}  // namespace postern::tls
