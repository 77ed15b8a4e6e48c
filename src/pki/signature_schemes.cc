// Kinds of keys and signature schemes. X.509 names digest and key of a signature, TLS has one
// number for both; where TLS has two numbers for one signature (RSASSA-PSS by an RSA key or by a
// key of its own kind), a client that offers either is taken to verify it: which one it is depends
// on the issuer's key, which is not always here.
#include "postern/pki/signature_schemes.h"

#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>

#include <array>
#include <string_view>

namespace postern::pki {
namespace {

struct Scheme {
  int digest;
  int key;
  std::array<uint16_t, 2> numbers;  // the second may be 0
};

// RFC 8446 section 4.2.3; its number in this table is the scheme's bit.
constexpr std::array<Scheme, 13> kSchemes = {{
    {NID_sha1, NID_rsaEncryption, {0x0201, 0}},
    {NID_sha256, NID_rsaEncryption, {0x0401, 0}},
    {NID_sha384, NID_rsaEncryption, {0x0501, 0}},
    {NID_sha512, NID_rsaEncryption, {0x0601, 0}},
    {NID_sha1, NID_X9_62_id_ecPublicKey, {0x0203, 0}},
    {NID_sha256, NID_X9_62_id_ecPublicKey, {0x0403, 0}},
    {NID_sha384, NID_X9_62_id_ecPublicKey, {0x0503, 0}},
    {NID_sha512, NID_X9_62_id_ecPublicKey, {0x0603, 0}},
    {NID_sha256, NID_rsassaPss, {0x0804, 0x0809}},
    {NID_sha384, NID_rsassaPss, {0x0805, 0x080A}},
    {NID_sha512, NID_rsassaPss, {0x0806, 0x080B}},
    {NID_undef, NID_ED25519, {0x0807, 0}},
    {NID_undef, NID_ED448, {0x0808, 0}},
}};

KeyClass EcKind(const EVP_PKEY* key) {
  std::array<char, 80> group{};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) != 1) {
    ERR_clear_error();
    return KeyClass::kOther;
  }
  switch (OBJ_txt2nid(group.data())) {
    case NID_X9_62_prime256v1:
      return KeyClass::kEcdsaP256;
    case NID_secp384r1:
      return KeyClass::kEcdsaP384;
    case NID_secp521r1:
      return KeyClass::kEcdsaP521;
    default:
      return KeyClass::kOther;
  }
}

}  // namespace

KeyFamily FamilyOf(KeyClass kind) {
  switch (kind) {
    case KeyClass::kEcdsaP256:
    case KeyClass::kEcdsaP384:
    case KeyClass::kEcdsaP521:
      return KeyFamily::kEcdsa;
    case KeyClass::kEd25519:
    case KeyClass::kEd448:
      return KeyFamily::kEdDsa;
    case KeyClass::kRsaPss:
      return KeyFamily::kRsaPss;
    case KeyClass::kRsa:
      return KeyFamily::kRsa;
    case KeyClass::kOther:
      return KeyFamily::kOther;
  }
  return KeyFamily::kOther;
}

KeyClass KindOf(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
      return EcKind(key);
    case EVP_PKEY_ED25519:
      return KeyClass::kEd25519;
    case EVP_PKEY_ED448:
      return KeyClass::kEd448;
    case EVP_PKEY_RSA_PSS:
      return KeyClass::kRsaPss;
    case EVP_PKEY_RSA:
      return KeyClass::kRsa;
    default:
      return KeyClass::kOther;
  }
}

SchemeSet SchemesOf(std::span<const uint16_t> schemes) {
  SchemeSet set = 0;
  for (const uint16_t number : schemes) {
    for (size_t bit = 0; bit < kSchemes.size(); ++bit) {
      const Scheme& scheme = kSchemes[bit];
      if (number == scheme.numbers[0] || (number != 0 && number == scheme.numbers[1])) {
        set |= 1U << bit;
      }
    }
  }
  return set;
}

SchemeSet SchemeNeeded(const X509* certificate) {
  // Names are compared in their canonical form, which d2i_X509 made. Who puts his own name as the
  // issuer's over another's signature is not helped, but neither is he believed by any client.
  if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0) {
    return 0;
  }
  int digest = NID_undef;
  int key = NID_undef;
  if (X509_get_signature_info(const_cast<X509*>(certificate), &digest, &key, nullptr, nullptr) !=
      1) {
    ERR_clear_error();
    return kUnknownScheme;
  }
  for (size_t bit = 0; bit < kSchemes.size(); ++bit) {
    if (kSchemes[bit].key != key) continue;
    // EdDSA has no digest of its own; OpenSSL says so with NID_undef.
    if (kSchemes[bit].digest == digest) return 1U << bit;
  }
  return kUnknownScheme;
}

}  // namespace postern::pki
