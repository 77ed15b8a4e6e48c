// EC and RSA keys, which all but a few certificates have, are decoded by the functions of old,
// whose structures say what they expect. OpenSSL 3's decoders are asked one after the other, each
// under a lock, until one fits, and again the encoders for PKCS#8 afterwards: together that was two
// thirds of what a pair cost, and it would not get better with threads. The functions are
// deprecated and part of every OpenSSL 3; whatever they do not take goes the new way.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "pki/plain_key.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

namespace postern::pki {
namespace {

struct FreeInfo {
  void operator()(PKCS8_PRIV_KEY_INFO* p) const { PKCS8_PRIV_KEY_INFO_free(p); }
  void operator()(EC_KEY* p) const { EC_KEY_free(p); }
  void operator()(RSA* p) const { RSA_free(p); }
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

}  // namespace

KeyPtr DecodePlainKey(const PemBlock& block) {
  if (KeyPtr key = DecodeQuickly(block)) return key;
  ERR_clear_error();
  const unsigned char* at = block.der.get().data();
  return KeyPtr(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(block.der.get().size())));
}

}  // namespace postern::pki
