// HMAC is made of digests here rather than taken from OpenSSL's EVP_MAC or HMAC(): those fetch,
// allocate and copy for every call, which costs several times what the hashing does, and a TLS 1.3
// handshake makes some twenty calls (docs/performance.md).
#include "tls/key_schedule.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>

#include "postern/base/check.h"
#include "tls/openssl_types.h"

namespace postern::tls {
namespace {

constexpr size_t kMaxBlock = 128;  // SHA-384's; SHA-256 has 64

constexpr size_t BlockSize(HashKind hash) { return hash == HashKind::kSha256 ? 64 : kMaxBlock; }

struct FreeMd {
  void operator()(EVP_MD* md) const { EVP_MD_free(md); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Hasher is one digest to be used again and again by one thread.
class Hasher {
 public:
  explicit Hasher(const char* name)
      : md_(EVP_MD_fetch(nullptr, name, nullptr)), context_(EVP_MD_CTX_new()) {}

  bool Begin() { return EVP_DigestInit_ex2(context_.get(), md_.get(), nullptr) == 1; }
  bool Add(Bytes octets) {
    return EVP_DigestUpdate(context_.get(), octets.data(), octets.size()) == 1;
  }
  bool Finish(MutableBytes out) {
    return EVP_DigestFinal_ex(context_.get(), AsUnsigned(out), nullptr) == 1;
  }

 private:
  std::unique_ptr<EVP_MD, FreeMd> md_;
  std::unique_ptr<EVP_MD_CTX, FreeMd> context_;
};

Hasher& HasherOf(HashKind hash) {
  static thread_local Hasher sha256("SHA256");
  static thread_local Hasher sha384("SHA384");
  return hash == HashKind::kSha256 ? sha256 : sha384;
}

bool BeginPadded(Hasher& hasher, Bytes key, std::byte pad, size_t block_size) {
  std::array<std::byte, kMaxBlock> block;
  const auto end = std::ranges::transform(key, block.begin(), [pad](std::byte octet) {
                     return octet ^ pad;
                   }).out;
  std::fill(end, block.begin() + static_cast<ptrdiff_t>(block_size), pad);
  const bool done = hasher.Begin() && hasher.Add(Bytes(block).first(block_size));
  OPENSSL_cleanse(block.data(), block_size);
  return done;
}

}  // namespace

bool Hmac(HashKind hash, Bytes key, std::array<Bytes, 3> text, MutableBytes out) {
  const size_t block = BlockSize(hash);
  POSTERN_CHECK(key.size() <= block && out.size() >= HashSize(hash));
  Hasher& hasher = HasherOf(hash);
  std::array<std::byte, kMaxHashSize> inner;
  const MutableBytes used = MutableBytes(inner).first(HashSize(hash));
  bool done = BeginPadded(hasher, key, std::byte{0x36}, block);
  for (const Bytes piece : text) done = done && (piece.empty() || hasher.Add(piece));
  done = done && hasher.Finish(used) && BeginPadded(hasher, key, std::byte{0x5C}, block) &&
         hasher.Add(used) && hasher.Finish(out);
  OPENSSL_cleanse(inner.data(), inner.size());
  return done;
}

Bytes EmptyHash(HashKind hash) {
  const auto make = [](HashKind kind) {
    std::array<std::byte, kMaxHashSize> made{};
    Hasher& hasher = HasherOf(kind);
    POSTERN_CHECK(hasher.Begin() && hasher.Finish(made));
    return made;
  };
  static const std::array<std::byte, kMaxHashSize> sha256 = make(HashKind::kSha256);
  static const std::array<std::byte, kMaxHashSize> sha384 = make(HashKind::kSha384);
  return Bytes(hash == HashKind::kSha256 ? sha256 : sha384).first(HashSize(hash));
}

bool Extract(HashKind hash, Bytes salt, Bytes key_material, MutableBytes out) {
  return Hmac(hash, salt, {key_material}, out);
}

bool ExpandLabel(HashKind hash, Bytes secret, std::string_view label, Bytes context,
                 MutableBytes out) {
  constexpr std::string_view kPrefix = "tls13 ";
  POSTERN_CHECK(out.size() <= 255 * HashSize(hash) && context.size() <= 255 &&
                label.size() + kPrefix.size() <= 255);
  // struct HkdfLabel: length, prefix and label, context.
  std::array<char, 2 + 1 + 255 + 1 + 255> info;
  char* end = info.data();
  *end++ = static_cast<char>(out.size() >> 8);
  *end++ = static_cast<char>(out.size() & 0xFF);
  *end++ = static_cast<char>(kPrefix.size() + label.size());
  end = std::ranges::copy(kPrefix, end).out;
  end = std::ranges::copy(label, end).out;
  *end++ = static_cast<char>(context.size());
  end = std::ranges::copy(AsText(context), end).out;
  const Bytes whole = AsBytes(std::string_view(info.data(), end));

  // RFC 5869 section 2.3: each block is made of the one before it, the info and its own number.
  std::array<std::byte, kMaxHashSize> block;
  Bytes previous;
  bool done = true;
  for (unsigned number = 1; done && !out.empty(); ++number) {
    const std::byte counter{static_cast<uint8_t>(number)};
    done = Hmac(hash, secret, {previous, whole, Bytes(&counter, 1)}, block);
    previous = Bytes(block).first(HashSize(hash));
    const size_t some = std::min(out.size(), previous.size());
    std::ranges::copy(previous.first(some), out.begin());
    out = out.subspan(some);
  }
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
