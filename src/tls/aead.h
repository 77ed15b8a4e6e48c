// AEAD ciphers on the caller's octets, in place. A key costs what its octets cost: the cipher
// contexts are shared by all connections of a thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "postern/base/bytes.h"

namespace postern::tls {

enum class AeadKind : uint8_t { kAes128Gcm, kAes256Gcm, kChaCha20Poly1305 };

inline constexpr size_t kAeadTag = 16;
inline constexpr size_t kAeadNonce = 12;
using AeadNonce = std::array<std::byte, kAeadNonce>;

constexpr size_t AeadKeySize(AeadKind kind) { return kind == AeadKind::kAes128Gcm ? 16 : 32; }

// AeadKey is one key for one direction. Destroying it wipes it, in the shared context too.
class AeadKey {
 public:
  // `key` has AeadKeySize(kind) octets.
  AeadKey(AeadKind kind, Bytes key);
  AeadKey(AeadKey&& other) noexcept;
  AeadKey& operator=(AeadKey&& other) noexcept;
  ~AeadKey();

  AeadKind kind() const { return kind_; }

  // Seal encrypts all of `text` but its last kAeadTag octets, which get the tag. False only when
  // OpenSSL fails.
  [[nodiscard]] bool Seal(const AeadNonce& nonce, Bytes additional, MutableBytes text) const;
  // Open is its inverse; false when the tag is wrong, and `text` is then garbage.
  [[nodiscard]] bool Open(const AeadNonce& nonce, Bytes additional, MutableBytes text) const;

 private:
  void Forget();

  AeadKind kind_;
  uint64_t id_;  // tells the shared context whose key it holds; never used twice
  std::array<std::byte, 32> key_{};
};

}  // namespace postern::tls
