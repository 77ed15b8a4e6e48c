// EC and RSA keys, which all but a few certificates have, are decoded by the functions of old,
// whose structures say what they expect. OpenSSL 3's decoders are asked one after the other, each
// under a lock, until one fits, and again the encoders for PKCS#8 afterwards: together that was two
// thirds of what a pair cost, and it would not get better with threads. The functions are
// deprecated and part of every OpenSSL 3; whatever they do not take goes the new way.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "pki/plain_key.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>
#include <utility>
#include <vector>

namespace postern::pki {
namespace {

struct FreeInfo {
  void operator()(PKCS8_PRIV_KEY_INFO* p) const { PKCS8_PRIV_KEY_INFO_free(p); }
  void operator()(EC_KEY* p) const { EC_KEY_free(p); }
  void operator()(RSA* p) const { RSA_free(p); }
  void operator()(EC_POINT* p) const { EC_POINT_free(p); }
  void operator()(BIGNUM* p) const { BN_clear_free(p); }
  void operator()(BN_CTX* p) const { BN_CTX_free(p); }
};
using InfoPtr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeInfo>;
using EcPtr = std::unique_ptr<EC_KEY, FreeInfo>;
using RsaPtr = std::unique_ptr<RSA, FreeInfo>;

KeyPtr Wrap(EcPtr ec) {
  KeyPtr key(EVP_PKEY_new());
  if (ec == nullptr || key == nullptr || EVP_PKEY_assign_EC_KEY(key.get(), ec.get()) != 1) {
    return nullptr;
  }
  [[maybe_unused]] EC_KEY* const taken_over = ec.release();
  return key;
}

KeyPtr Wrap(RsaPtr rsa) {
  KeyPtr key(EVP_PKEY_new());
  if (rsa == nullptr || key == nullptr || EVP_PKEY_assign_RSA(key.get(), rsa.get()) != 1) {
    return nullptr;
  }
  [[maybe_unused]] RSA* const taken_over = rsa.release();
  return key;
}

// ECPrivateKey (RFC 5915). `curve` is that of PKCS#8's parameters; NID_undef: it has to name one
// itself.
KeyPtr EcKey(const unsigned char* der, long size, int curve) {
  EcPtr ec(curve == NID_undef ? EC_KEY_new() : EC_KEY_new_by_curve_name(curve));
  EC_KEY* into = ec.get();
  const unsigned char* at = der;
  if (into == nullptr || d2i_ECPrivateKey(&into, &at, size) == nullptr || at != der + size) {
    return nullptr;
  }
  // One with parameters of its own instead of a named curve is nothing for TLS.
  if (EC_GROUP_get_curve_name(EC_KEY_get0_group(ec.get())) == NID_undef) return nullptr;
  return Wrap(std::move(ec));
}

KeyPtr RsaKey(const unsigned char* der, long size) {
  const unsigned char* at = der;
  RsaPtr rsa(d2i_RSAPrivateKey(nullptr, &at, size));
  return at == der + size ? Wrap(std::move(rsa)) : nullptr;
}

// PrivateKeyInfo (RFC 5958) with a key of one of the two kinds; null for all others.
KeyPtr Pkcs8Key(const unsigned char* der, long size) {
  const unsigned char* at = der;
  const InfoPtr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, size));
  const ASN1_OBJECT* kind = nullptr;
  const unsigned char* octets = nullptr;
  int length = 0;
  const X509_ALGOR* algorithm = nullptr;
  if (info == nullptr || at != der + size ||
      PKCS8_pkey_get0(&kind, &octets, &length, &algorithm, info.get()) != 1) {
    return nullptr;
  }
  const int nid = OBJ_obj2nid(kind);
  if (nid == NID_rsaEncryption) return RsaKey(octets, length);
  if (nid != NID_X9_62_id_ecPublicKey) return nullptr;
  int type = V_ASN1_UNDEF;
  const void* parameters = nullptr;
  X509_ALGOR_get0(nullptr, &type, &parameters, algorithm);
  if (type != V_ASN1_OBJECT) return nullptr;
  const int curve = OBJ_obj2nid(static_cast<const ASN1_OBJECT*>(parameters));
  return curve == NID_undef ? nullptr : EcKey(octets, length, curve);
}

KeyPtr DecodeQuickly(const PemBlock& block) {
  const unsigned char* der = block.der.get().data();
  const long size = static_cast<long>(block.der.get().size());
  if (block.label == "PRIVATE KEY") return Pkcs8Key(der, size);
  if (block.label == "EC PRIVATE KEY") return EcKey(der, size, NID_undef);
  if (block.label == "RSA PRIVATE KEY") return RsaKey(der, size);
  return nullptr;
}

// Whether the public point, which the file may have named, is the one of the scalar.
bool Fits(const EC_KEY* ec) {
  const EC_GROUP* group = EC_KEY_get0_group(ec);
  const BIGNUM* scalar = EC_KEY_get0_private_key(ec);
  const EC_POINT* named = EC_KEY_get0_public_key(ec);
  if (group == nullptr || scalar == nullptr || named == nullptr) return false;
  const std::unique_ptr<EC_POINT, FreeInfo> own(EC_POINT_new(group));
  return own != nullptr && EC_POINT_mul(group, own.get(), scalar, nullptr, nullptr, nullptr) == 1 &&
         EC_POINT_cmp(group, own.get(), named, nullptr) == 0;
}

using BignumPtr = std::unique_ptr<BIGNUM, FreeInfo>;

// Whether a * b = 1 (mod m).
bool Inverse(const BIGNUM* a, const BIGNUM* b, const BIGNUM* m, BN_CTX* context) {
  const BignumPtr product(BN_secure_new());
  return product != nullptr && BN_mod_mul(product.get(), a, b, m, context) == 1 &&
         BN_is_one(product.get()) == 1;
}

// RFC 8017 section 3.2: n = p q, e dP = 1 (mod p - 1), e dQ = 1 (mod q - 1), q qInv = 1 (mod p).
// That p and q are primes is not looked at; it takes a thousand times as long, and a key with
// others signs nothing that anybody takes for a signature.
bool Fits(const RSA* rsa) {
  if (RSA_get_multi_prime_extra_count(rsa) > 0) return true;
  const BIGNUM* const n = RSA_get0_n(rsa);
  const BIGNUM* const e = RSA_get0_e(rsa);
  const BIGNUM* p = nullptr;
  const BIGNUM* q = nullptr;
  RSA_get0_factors(rsa, &p, &q);
  const BIGNUM* dp = nullptr;
  const BIGNUM* dq = nullptr;
  const BIGNUM* inverse = nullptr;
  RSA_get0_crt_params(rsa, &dp, &dq, &inverse);
  if (n == nullptr || e == nullptr) return false;
  // With n, e and d alone there is nothing to compare.
  if (p == nullptr || q == nullptr || dp == nullptr || dq == nullptr || inverse == nullptr) {
    return true;
  }
  const std::unique_ptr<BN_CTX, FreeInfo> context(BN_CTX_secure_new());
  const BignumPtr product(BN_secure_new());
  const BignumPtr p1(BN_dup(p));
  const BignumPtr q1(BN_dup(q));
  return context != nullptr && product != nullptr && p1 != nullptr && q1 != nullptr &&
         BN_mul(product.get(), p, q, context.get()) == 1 && BN_cmp(product.get(), n) == 0 &&
         BN_sub_word(p1.get(), 1) == 1 && BN_sub_word(q1.get(), 1) == 1 &&
         Inverse(e, dp, p1.get(), context.get()) && Inverse(e, dq, q1.get(), context.get()) &&
         Inverse(q, inverse, p, context.get());
}

}  // namespace

bool KeyFitsItself(const EVP_PKEY* key) {
  bool fits = true;
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
    const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key);
    fits = ec != nullptr && Fits(ec);
  } else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    const RSA* rsa = EVP_PKEY_get0_RSA(key);
    fits = rsa != nullptr && Fits(rsa);
  }
  ERR_clear_error();
  return fits;
}

SecretBytes EncodePkcs8(const EVP_PKEY* key) {
  const InfoPtr info(EVP_PKEY2PKCS8(key));  // wipes the octets it holds when it goes
  const int size = info == nullptr ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
  if (size <= 0) return {};
  // Of the right size from the start: growing would leave the key behind in freed memory.
  std::vector<unsigned char> der(static_cast<size_t>(size));
  unsigned char* at = der.data();
  i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at);
  return SecretBytes(std::move(der));
}

KeyPtr DecodePlainKey(const PemBlock& block) {
  if (KeyPtr key = DecodeQuickly(block)) return key;
  ERR_clear_error();
  const unsigned char* at = block.der.get().data();
  return KeyPtr(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(block.der.get().size())));
}

}  // namespace postern::pki
