// OpenSSL has a KDF for HKDF-Expand-Label, but not one that is in 3.0 and 3.5 under the same
// parameters; all that is asked for here is a single block of it, which is one HMAC.
#include "tls/key_schedule.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>

#include "postern/base/check.h"
#include "tls/openssl_types.h"

namespace postern::tls {

bool ExpandLabel(HashKind hash, Bytes secret, std::string_view label, MutableBytes out) {
  POSTERN_CHECK(out.size() <= HashSize(hash));
  // struct HkdfLabel: length, "tls13 " and label, context; then the number of the block (RFC 5869
  // section 2.3).
  std::string info;
  info += static_cast<char>(out.size() >> 8);
  info += static_cast<char>(out.size() & 0xFF);
  info += static_cast<char>(6 + label.size());
  info += "tls13 ";
  info += label;
  info += '\0';
  info += '\1';
  std::array<unsigned char, EVP_MAX_MD_SIZE> block;
  unsigned size = 0;
  const bool done = HMAC(hash == HashKind::kSha256 ? EVP_sha256() : EVP_sha384(), secret.data(),
                         static_cast<int>(secret.size()), AsUnsigned(AsBytes(info)), info.size(),
                         block.data(), &size) != nullptr;
  if (done) std::ranges::copy(std::as_bytes(std::span(block)).first(out.size()), out.begin());
  OPENSSL_cleanse(block.data(), block.size());
  return done;
}

bool Tls12Prf(HashKind hash, Bytes secret, std::string_view label, Bytes seed, MutableBytes out) {
  static const KdfPtr kdf(EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr));
  const KdfCtxPtr context(kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()));
  if (context == nullptr) return false;
  std::string digest = hash == HashKind::kSha256 ? "SHA256" : "SHA384";
  std::string whole_seed(label);
  whole_seed += AsText(seed);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET,
                                        const_cast<std::byte*>(secret.data()), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, whole_seed.data(), whole_seed.size()),
      OSSL_PARAM_construct_end(),
  };
  return EVP_KDF_derive(context.get(), AsUnsigned(out), out.size(), parameters) == 1;
}

}  // namespace postern::tls
