// Protection: one direction of a connection: its key, its sequence number, and how a record is
// framed, for TLS 1.2 and 1.3 with AEAD suites.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "postern/base/bytes.h"
#include "tls/aead.h"
#include "tls/key_schedule.h"

namespace postern::tls {

struct AeadSuite {
  AeadKind aead;
  HashKind hash;
};

class Protection {
 public:
  // TLS 1.3 (RFC 8446 section 7.3): everything follows from the traffic secret.
  static std::optional<Protection> Tls13(AeadSuite suite, Bytes secret, uint64_t sequence);
  // TLS 1.2: `iv` is the fixed part, 4 octets for GCM (RFC 5288), 12 for ChaCha20 (RFC 7905).
  // `explicit_nonce` was used for the sequence number 0 when this side is written.
  static Protection Tls12(AeadSuite suite, Bytes key, Bytes iv, uint64_t explicit_nonce,
                          uint64_t sequence);
  Protection(Protection&&) noexcept = default;
  Protection& operator=(Protection&&) noexcept = default;
  ~Protection();

  bool tls13() const { return tls13_; }
  uint64_t sequence() const { return sequence_; }

  // Octets that a record needs in front of its content and behind it.
  size_t head() const { return 5 + explicit_size(); }
  size_t tail() const { return kAeadTag + (tls13_ ? 1 : 0); }

  // Seal makes a record of `content` where it lies, writing head() octets in front and tail()
  // behind. False when the sequence numbers are used up (RFC 8446 section 5.3) or OpenSSL fails.
  [[nodiscard]] bool Seal(uint8_t type, MutableBytes content);

  struct Opened {
    enum class Kind : uint8_t { kOk, kBadMac, kNoType, kUsedUp } kind = Kind::kBadMac;
    uint8_t type = 0;
    MutableBytes content;
  };
  // Open opens a whole record in place. TLS 1.3: the padding is off and the type is the inner one.
  Opened Open(MutableBytes record);

  // Update moves a TLS 1.3 direction to its next key (RFC 8446 section 7.2).
  [[nodiscard]] bool Update();

 private:
  Protection(AeadSuite suite, Bytes key, bool tls13);

  size_t explicit_size() const {
    return tls13_ || suite_.aead == AeadKind::kChaCha20Poly1305 ? 0 : 8;
  }
  AeadNonce Nonce(Bytes explicit_part) const;
  size_t Additional(Bytes header, size_t content, std::array<std::byte, 13>& out) const;

  AeadSuite suite_;
  bool tls13_;
  AeadKey key_;
  AeadNonce iv_{};
  uint64_t sequence_ = 0;
  uint64_t explicit_nonce_ = 0;
  std::array<std::byte, 48> secret_{};  // TLS 1.3, for Update
};

}  // namespace postern::tls
