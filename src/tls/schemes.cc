// libssl has such a table, too, and does not show it.
#include "tls/schemes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "postern/pki/signature_schemes.h"
#include "tls/policy_knobs.h"

namespace postern::tls {
namespace {

using pki::KeyClass;

constexpr uint32_t BitOf(KeyClass kind) { return 1U << static_cast<uint32_t>(kind); }
constexpr uint32_t kP256 = BitOf(KeyClass::kEcdsaP256);
constexpr uint32_t kP384 = BitOf(KeyClass::kEcdsaP384);
constexpr uint32_t kP521 = BitOf(KeyClass::kEcdsaP521);
// RFC 5246 section 7.4.1.4.1: before TLS 1.3 a scheme says nothing of the curve.
constexpr uint32_t kEcdsa = kP256 | kP384 | kP521;
constexpr uint32_t kRsa = BitOf(KeyClass::kRsa);
constexpr uint32_t kRsaPss = BitOf(KeyClass::kRsaPss);
constexpr uint32_t kEd25519 = BitOf(KeyClass::kEd25519);
constexpr uint32_t kEd448 = BitOf(KeyClass::kEd448);

struct Scheme {
  uint16_t number;
  std::string_view name;
  std::string_view alias;  // as OpenSSL's lists also have it
  uint32_t before13;       // keys that sign by it, by version
  uint32_t in13;
  std::string_view key;  // what to ask an authority for
};

constexpr std::array<Scheme, 18> kSchemes = {{
    {0x0403, "ecdsa_secp256r1_sha256", "ECDSA+SHA256", kEcdsa, kP256, "an EC P-256 key"},
    {0x0503, "ecdsa_secp384r1_sha384", "ECDSA+SHA384", kEcdsa, kP384, "an EC P-384 key"},
    {0x0603, "ecdsa_secp521r1_sha512", "ECDSA+SHA512", kEcdsa, kP521, "an EC P-521 key"},
    {0x0807, "ed25519", "ed25519", kEd25519, kEd25519, "an Ed25519 key"},
    {0x0808, "ed448", "ed448", kEd448, kEd448, "an Ed448 key"},
    {0x0804, "rsa_pss_rsae_sha256", "RSA-PSS+SHA256", kRsa, kRsa, "an RSA key"},
    {0x0805, "rsa_pss_rsae_sha384", "RSA-PSS+SHA384", kRsa, kRsa, "an RSA key"},
    {0x0806, "rsa_pss_rsae_sha512", "RSA-PSS+SHA512", kRsa, kRsa, "an RSA key"},
    {0x0809, "rsa_pss_pss_sha256", "RSA-PSS+SHA256", kRsaPss, kRsaPss, "an RSA-PSS key"},
    {0x080A, "rsa_pss_pss_sha384", "RSA-PSS+SHA384", kRsaPss, kRsaPss, "an RSA-PSS key"},
    {0x080B, "rsa_pss_pss_sha512", "RSA-PSS+SHA512", kRsaPss, kRsaPss, "an RSA-PSS key"},
    {0x0401, "rsa_pkcs1_sha256", "RSA+SHA256", kRsa, 0, "an RSA key"},
    {0x0501, "rsa_pkcs1_sha384", "RSA+SHA384", kRsa, 0, "an RSA key"},
    {0x0601, "rsa_pkcs1_sha512", "RSA+SHA512", kRsa, 0, "an RSA key"},
    {0x0303, "ecdsa_sha224", "ECDSA+SHA224", kEcdsa, 0, "an EC P-256 key"},
    {0x0301, "rsa_pkcs1_sha224", "RSA+SHA224", kRsa, 0, "an RSA key"},
    {0x0203, "ecdsa_sha1", "ECDSA+SHA1", kEcdsa, 0, "an EC P-256 key"},
    {0x0201, "rsa_pkcs1_sha1", "RSA+SHA1", kRsa, 0, "an RSA key"},
}};

uint32_t KeysOf(const Scheme& scheme, bool tls13) { return tls13 ? scheme.in13 : scheme.before13; }

bool IsSha1(const Scheme& scheme) { return scheme.number >> 8 == 2; }

bool Allows(std::string_view list, const Scheme& scheme) {
  const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
  const std::vector<std::string_view> elements = Elements(list);
  return list.empty() || std::ranges::any_of(elements, [&](std::string_view element) {
           return std::ranges::equal(element, scheme.name, same) ||
                  std::ranges::equal(element, scheme.alias, same);
         });
}

bool IsUsable(const Signing& signing, const Scheme& scheme) {
  return (KeysOf(scheme, signing.tls13) & signing.key_kinds) != 0 &&
         (signing.sha1 || !IsSha1(scheme)) && Allows(signing.allowed, scheme);
}

}  // namespace

std::string SchemeName(uint16_t scheme) {
  const auto known = std::ranges::find(kSchemes, scheme, &Scheme::number);
  return known != kSchemes.end() ? std::string(known->name) : fmt::format("0x{:04x}", scheme);
}

std::string UsableSchemes(const Signing& signing) {
  std::string text;
  for (const Scheme& scheme : kSchemes) {
    if (!IsUsable(signing, scheme)) continue;
    text += (text.empty() ? "" : ", ") + std::string(scheme.name);
  }
  return text.empty() ? "none" : text;
}

bool AnyUsable(const Signing& signing, std::span<const uint16_t> offered) {
  return std::ranges::any_of(kSchemes, [&](const Scheme& scheme) {
    return IsUsable(signing, scheme) && std::ranges::count(offered, scheme.number) > 0;
  });
}

SchemeRemedy FindRemedy(const Signing& signing, std::span<const uint16_t> offered) {
  SchemeRemedy best;
  int best_rank = -1;
  for (const uint16_t number : offered) {
    const auto scheme = std::ranges::find(kSchemes, number, &Scheme::number);
    if (scheme == kSchemes.end() || KeysOf(*scheme, signing.tls13) == 0) continue;
    const bool has_key = (KeysOf(*scheme, signing.tls13) & signing.key_kinds) != 0;
    const bool needs_sha1 = IsSha1(*scheme) && !signing.sha1;
    const int rank = (needs_sha1 ? 0 : 2) + (has_key ? 1 : 0);
    if (rank <= best_rank) continue;
    best = {number, has_key, needs_sha1, scheme->key};
    best_rank = rank;
  }
  return best;
}

}  // namespace postern::tls
