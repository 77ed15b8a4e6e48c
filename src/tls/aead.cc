// One EVP_CIPHER_CTX per cipher and direction serves every connection of a thread, re-keyed when
// another connection's turn comes. A context of one's own would cost each connection some 2 x 1 KB
// (GCM keeps tables) for days of idling; setting a key costs 0.15 us, and is
// left out while one connection stays at it (bulk transfer).
#include "tls/aead.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "postern/base/check.h"
#include "tls/openssl_types.h"

namespace postern::tls {
namespace {

enum Direction : size_t { kOpening = 0, kSealing = 1 };

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

class SharedCipher {
 public:
  SharedCipher(const char* name, Direction direction)
      : cipher_(EVP_CIPHER_fetch(nullptr, name, nullptr)),
        context_(EVP_CIPHER_CTX_new()),
        direction_(direction) {
    ready_ = cipher_ != nullptr && context_ != nullptr &&
             EVP_CipherInit_ex(context_.get(), cipher_.get(), nullptr, nullptr, nullptr,
                               static_cast<int>(direction)) == 1;
  }

  // Prepare sets nonce, key (where it is not set already) and additional data.
  bool Prepare(uint64_t id, Bytes key, const AeadNonce& nonce, Bytes additional) {
    if (!ready_) return false;
    const unsigned char* new_key = id == loaded_ ? nullptr : AsUnsigned(key);
    loaded_ = 0;
    int size = 0;
    if (EVP_CipherInit_ex(context_.get(), nullptr, nullptr, new_key, AsUnsigned(nonce),
                          static_cast<int>(direction_)) != 1 ||
        EVP_CipherUpdate(context_.get(), nullptr, &size, AsUnsigned(additional),
                         static_cast<int>(additional.size())) != 1) {
      return false;
    }
    loaded_ = id;
    return true;
  }

  bool Transform(MutableBytes text) {
    int size = 0;
    return text.empty() || EVP_CipherUpdate(context_.get(), AsUnsigned(text), &size,
                                            AsUnsigned(text), static_cast<int>(text.size())) == 1;
  }

  bool Finish() {
    unsigned char none[kAeadTag];
    int size = 0;
    return EVP_CipherFinal_ex(context_.get(), none, &size) == 1;
  }

  bool Tag(int command, MutableBytes tag) {
    return EVP_CIPHER_CTX_ctrl(context_.get(), command, static_cast<int>(tag.size()), tag.data()) ==
           1;
  }

  void Forget(uint64_t id) {
    if (loaded_ != id) return;
    loaded_ = 0;
    constexpr std::array<unsigned char, 32> kNothing{};
    EVP_CipherInit_ex(context_.get(), nullptr, nullptr, kNothing.data(), nullptr,
                      static_cast<int>(direction_));
  }

 private:
  CipherPtr cipher_;
  CipherCtxPtr context_;
  Direction direction_;
  bool ready_ = false;
  uint64_t loaded_ = 0;  // id of the key that is set; 0: none
};

// Connections that outlive the thread's ciphers (those in static objects, at exit) have nothing to
// forget there any more.
thread_local bool ciphers_gone = false;

struct SharedCiphers {
  ~SharedCiphers() { ciphers_gone = true; }
  std::array<std::array<SharedCipher, 2>, 3> all = {{
      {{{"AES-128-GCM", kOpening}, {"AES-128-GCM", kSealing}}},
      {{{"AES-256-GCM", kOpening}, {"AES-256-GCM", kSealing}}},
      {{{"ChaCha20-Poly1305", kOpening}, {"ChaCha20-Poly1305", kSealing}}},
  }};
};

SharedCipher& Shared(AeadKind kind, Direction direction) {
  static thread_local SharedCiphers ciphers;
  return ciphers.all[static_cast<size_t>(kind)][direction];
}

}  // namespace

AeadKey::AeadKey(AeadKind kind, Bytes key) : kind_(kind), id_(NextId()) {
  POSTERN_CHECK(key.size() == AeadKeySize(kind));
  std::ranges::copy(key, key_.begin());
}

AeadKey::AeadKey(AeadKey&& other) noexcept
    : kind_(other.kind_), id_(std::exchange(other.id_, 0)), key_(other.key_) {
  OPENSSL_cleanse(other.key_.data(), other.key_.size());
}

AeadKey& AeadKey::operator=(AeadKey&& other) noexcept {
  if (this != &other) {
    Forget();
    kind_ = other.kind_;
    id_ = std::exchange(other.id_, 0);
    key_ = other.key_;
    OPENSSL_cleanse(other.key_.data(), other.key_.size());
  }
  return *this;
}

AeadKey::~AeadKey() { Forget(); }

void AeadKey::Forget() {
  if (id_ != 0 && !ciphers_gone) {
    Shared(kind_, kOpening).Forget(id_);
    Shared(kind_, kSealing).Forget(id_);
  }
  OPENSSL_cleanse(key_.data(), key_.size());
}

bool AeadKey::Seal(const AeadNonce& nonce, Bytes additional, MutableBytes text) const {
  POSTERN_CHECK(id_ != 0 && text.size() >= kAeadTag);
  SharedCipher& cipher = Shared(kind_, kSealing);
  return cipher.Prepare(id_, Bytes(key_).first(AeadKeySize(kind_)), nonce, additional) &&
         cipher.Transform(text.first(text.size() - kAeadTag)) && cipher.Finish() &&
         cipher.Tag(EVP_CTRL_AEAD_GET_TAG, text.last(kAeadTag));
}

bool AeadKey::Open(const AeadNonce& nonce, Bytes additional, MutableBytes text) const {
  POSTERN_CHECK(id_ != 0 && text.size() >= kAeadTag);
  SharedCipher& cipher = Shared(kind_, kOpening);
  return cipher.Prepare(id_, Bytes(key_).first(AeadKeySize(kind_)), nonce, additional) &&
         cipher.Tag(EVP_CTRL_AEAD_SET_TAG, text.last(kAeadTag)) &&
         cipher.Transform(text.first(text.size() - kAeadTag)) && cipher.Finish();
}

}  // namespace postern::tls
