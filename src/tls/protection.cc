// Records of AEAD suites.
//   TLS 1.3 (RFC 8446 section 5.2): header | AEAD(content, type, zeros); additional data: header.
//   TLS 1.2 GCM (RFC 5288): header | 8 octets of nonce | AEAD(content); additional data: sequence
//   number, type, version, length of the content (RFC 5246 section 6.2.3.3).
//   TLS 1.2 ChaCha20 (RFC 7905): as that, without octets for the nonce.
#include "tls/protection.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "postern/base/check.h"
#include "postern/base/limits.h"

namespace postern::tls {
namespace {

constexpr size_t kHeader = limits::kRecordHeader;
constexpr uint8_t kApplicationData = 23;

void Store(uint64_t value, MutableBytes out) {
  for (size_t i = out.size(); i > 0; --i, value >>= 8) {
    out[i - 1] = static_cast<std::byte>(value & 0xFF);
  }
}

}  // namespace

Protection::Protection(AeadSuite suite, Bytes key, bool tls13)
    : suite_(suite), tls13_(tls13), key_(suite.aead, key) {}

Protection::~Protection() { OPENSSL_cleanse(secret_.data(), secret_.size()); }

std::optional<Protection> Protection::Tls13(AeadSuite suite, Bytes secret, uint64_t sequence) {
  POSTERN_CHECK(secret.size() == HashSize(suite.hash));
  std::array<std::byte, 32> key;
  const MutableBytes used = MutableBytes(key).first(AeadKeySize(suite.aead));
  AeadNonce iv;
  std::optional<Protection> made;
  if (ExpandLabel(suite.hash, secret, "key", {}, used) &&
      ExpandLabel(suite.hash, secret, "iv", {}, iv)) {
    made = Protection(suite, used, true);
    made->iv_ = iv;
    made->sequence_ = sequence;
    std::ranges::copy(secret, made->secret_.begin());
  }
  OPENSSL_cleanse(key.data(), key.size());
  return made;
}

Protection Protection::Tls12(AeadSuite suite, Bytes key, Bytes iv, uint64_t explicit_nonce,
                             uint64_t sequence) {
  Protection made(suite, key, false);
  POSTERN_CHECK(iv.size() == kAeadNonce - made.explicit_size());
  std::ranges::copy(iv, made.iv_.begin());
  made.explicit_nonce_ = explicit_nonce;
  made.sequence_ = sequence;
  return made;
}

bool Protection::Update() {
  POSTERN_CHECK(tls13_);
  std::array<std::byte, 48> next;
  const MutableBytes used = MutableBytes(next).first(HashSize(suite_.hash));
  bool done = ExpandLabel(suite_.hash, Bytes(secret_).first(used.size()), "traffic upd", {}, used);
  if (done) {
    std::optional<Protection> updated = Tls13(suite_, used, 0);
    done = updated.has_value();
    if (done) *this = std::move(*updated);
  }
  OPENSSL_cleanse(next.data(), next.size());
  return done;
}

AeadNonce Protection::Nonce(Bytes explicit_part) const {
  AeadNonce nonce = iv_;
  if (explicit_part.empty()) {
    // RFC 8446 section 5.3, RFC 7905 section 2: the sequence number, padded, XOR the IV.
    std::array<std::byte, 8> sequence;
    Store(sequence_, sequence);
    for (size_t i = 0; i < sequence.size(); ++i) nonce[4 + i] ^= sequence[i];
  } else {
    std::ranges::copy(explicit_part, nonce.begin() + 4);
  }
  return nonce;
}

size_t Protection::Additional(Bytes header, size_t content, std::array<std::byte, 13>& out) const {
  if (tls13_) {
    std::ranges::copy(header, out.begin());
    return header.size();
  }
  Store(sequence_, MutableBytes(out).first(8));
  std::ranges::copy(header.first(3), out.begin() + 8);
  Store(content, MutableBytes(out).last(2));
  return out.size();
}

bool Protection::Seal(uint8_t type, MutableBytes content) {
  if (sequence_ == UINT64_MAX) return false;
  const MutableBytes record(content.data() - head(), head() + content.size() + tail());
  // RFC 8446 section 5.2: on the wire every record says application data and TLS 1.2.
  record[0] = static_cast<std::byte>(tls13_ ? kApplicationData : type);
  record[1] = std::byte{3};
  record[2] = std::byte{3};
  Store(record.size() - kHeader, record.subspan(3, 2));
  if (tls13_) record[head() + content.size()] = static_cast<std::byte>(type);
  const MutableBytes explicit_part = record.subspan(kHeader, explicit_size());
  if (!explicit_part.empty()) Store(explicit_nonce_ + sequence_, explicit_part);

  std::array<std::byte, 13> additional;
  const size_t size = Additional(record.first(kHeader), content.size(), additional);
  const AeadNonce nonce = Nonce(explicit_part);
  if (!key_.Seal(nonce, Bytes(additional).first(size), record.subspan(head()))) return false;
  ++sequence_;
  return true;
}

Protection::Opened Protection::Open(MutableBytes record) {
  if (sequence_ == UINT64_MAX) return {.kind = Opened::Kind::kUsedUp};
  // Too short for a tag: there is no MAC that could be right.
  if (record.size() < head() + kAeadTag) return {.kind = Opened::Kind::kBadMac};
  const MutableBytes text = record.subspan(head());
  MutableBytes content = text.first(text.size() - kAeadTag);

  std::array<std::byte, 13> additional;
  const size_t size = Additional(record.first(kHeader), content.size(), additional);
  const AeadNonce nonce = Nonce(record.subspan(kHeader, explicit_size()));
  if (!key_.Open(nonce, Bytes(additional).first(size), text)) {
    return {.kind = Opened::Kind::kBadMac};
  }
  ++sequence_;
  if (!tls13_) return {Opened::Kind::kOk, std::to_integer<uint8_t>(record[0]), content};

  // RFC 8446 section 5.4: the type is the last octet that is not zero.
  while (!content.empty() && content.back() == std::byte{0}) {
    content = content.first(content.size() - 1);
  }
  if (content.empty()) return {.kind = Opened::Kind::kNoType};
  return {Opened::Kind::kOk, std::to_integer<uint8_t>(content.back()),
          content.first(content.size() - 1)};
}

}  // namespace postern::tls
