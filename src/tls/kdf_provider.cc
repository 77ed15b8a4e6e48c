// OpenSSL 3 lets a process bring algorithms of its own (provider(7), provider-kdf(7)). libssl asks
// for TLS13-KDF some twenty times in a handshake; its own one fetches a digest and a MAC each time,
// which is most of what it costs. And the key log, the other way to the secrets, prints each of
// five secrets octet by octet with sprintf. Both together were a fifth of a full handshake's
// instructions (docs/performance.md).
#include "tls/kdf_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <optional>
#include <string_view>

namespace postern::tls {
namespace {

constexpr char kProvider[] = "postern";
constexpr size_t kMaxLabel = 255 - 6;  // behind "tls13 ", RFC 8446 section 7.1

thread_local TrafficSecretSink* current_sink = nullptr;

// A short octet string of which the context keeps a copy.
template <size_t kCapacity>
class Kept {
 public:
  bool Set(const OSSL_PARAM& parameter) {
    if (parameter.data_size > octets_.size()) return false;
    size_ = parameter.data_size;
    if (size_ != 0) std::memcpy(octets_.data(), parameter.data, size_);
    set_ = true;
    return true;
  }
  Bytes octets() const { return Bytes(octets_).first(size_); }
  bool set() const { return set_; }
  void Wipe() { OPENSSL_cleanse(octets_.data(), size_); }

 private:
  std::array<std::byte, kCapacity> octets_;
  size_t size_ = 0;
  bool set_ = false;
};

struct Context {
  ~Context() {
    key.Wipe();
    salt.Wipe();
  }
  int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
  std::optional<HashKind> hash;
  Kept<1024> key;  // the longest shared secret there is: ffdhe8192's
  // Hashes and labels.
  Kept<kMaxHashSize> salt;
  Kept<255> prefix;
  Kept<255> label;
  Kept<kMaxHashSize> data;
};

std::optional<HashKind> HashOf(std::string_view name) {
  // What EVP_MD_get0_name gives, and the older names.
  if (name == "SHA2-256" || name == "SHA256") return HashKind::kSha256;
  if (name == "SHA2-384" || name == "SHA384") return HashKind::kSha384;
  return {};
}

bool SetOne(Context& context, const OSSL_PARAM& parameter) {
  const std::string_view key = parameter.key;
  if (key == OSSL_KDF_PARAM_KEY) return context.key.Set(parameter);
  if (key == OSSL_KDF_PARAM_SALT) return context.salt.Set(parameter);
  if (key == OSSL_KDF_PARAM_PREFIX) return context.prefix.Set(parameter);
  if (key == OSSL_KDF_PARAM_LABEL) return context.label.Set(parameter);
  if (key == OSSL_KDF_PARAM_DATA) return context.data.Set(parameter);
  if (key == OSSL_KDF_PARAM_MODE) return OSSL_PARAM_get_int(&parameter, &context.mode) == 1;
  if (key == OSSL_KDF_PARAM_DIGEST) {
    context.hash = HashOf(static_cast<const char*>(parameter.data));
    return context.hash.has_value();
  }
  return true;  // provider-kdf(7): unknown parameters are passed over
}

int SetParameters(void* opaque, const OSSL_PARAM parameters[]) {
  auto& context = *static_cast<Context*>(opaque);
  for (; parameters != nullptr && parameters->key != nullptr; ++parameters) {
    if (!SetOne(context, *parameters)) return 0;
  }
  return 1;
}

// RFC 8446 section 7.1: the salt of each stage is Derive-Secret(secret of the stage before,
// "derived",
// ""); the first one has zeros, as has a stage without key material.
bool ExtractStage(const Context& context, MutableBytes out) {
  const HashKind hash = *context.hash;
  const std::array<std::byte, kMaxHashSize> zeros{};
  const Bytes none = Bytes(zeros).first(HashSize(hash));
  std::array<std::byte, kMaxHashSize> salt{};
  const MutableBytes used = MutableBytes(salt).first(HashSize(hash));
  const bool salted =
      !context.salt.set() || ExpandLabel(hash, context.salt.octets(),
                                         AsText(context.label.octets()), EmptyHash(hash), used);
  const bool done =
      salted && Extract(hash, used, context.key.set() ? context.key.octets() : none, out);
  OPENSSL_cleanse(salt.data(), salt.size());
  return done;
}

bool ExpandStage(const Context& context, MutableBytes out) {
  const std::string_view label = AsText(context.label.octets());
  if (!ExpandLabel(*context.hash, context.key.octets(), label, context.data.octets(), out)) {
    return false;
  }
  if (current_sink != nullptr) {
    if (label == "c ap traffic") current_sink->OnTrafficSecret(true, out);
    if (label == "s ap traffic") current_sink->OnTrafficSecret(false, out);
  }
  return true;
}

int Derive(void* opaque, unsigned char* key, size_t size, const OSSL_PARAM parameters[]) {
  if (SetParameters(opaque, parameters) != 1) return 0;
  const auto& context = *static_cast<Context*>(opaque);
  if (!context.hash || AsText(context.prefix.octets()) != "tls13 ") return 0;
  const MutableBytes out(reinterpret_cast<std::byte*>(key), size);
  switch (context.mode) {
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
      return context.salt.octets().size() <= HashSize(*context.hash) &&
                     context.label.octets().size() <= kMaxLabel &&
                     size == HashSize(*context.hash) && ExtractStage(context, out)
                 ? 1
                 : 0;
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
      // The key is a secret of the schedule, so as long as the hash.
      return context.key.octets().size() <= HashSize(*context.hash) &&
                     context.label.octets().size() <= kMaxLabel &&
                     size <= 255 * HashSize(*context.hash) && ExpandStage(context, out)
                 ? 1
                 : 0;
    default:
      return 0;
  }
}

void* NewContext(void*) { return new (std::nothrow) Context; }
void FreeContext(void* context) { delete static_cast<Context*>(context); }
void ResetContext(void* context) {
  static_cast<Context*>(context)->~Context();
  new (context) Context;
}

const OSSL_PARAM* Settable(void*, void*) {
  static const OSSL_PARAM settable[] = {
      OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, nullptr),
      OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, nullptr, 0),
      OSSL_PARAM_octet_string(OSSL_KDF_PARAM_DATA, nullptr, 0),
      OSSL_PARAM_END,
  };
  return settable;
}

// provider-base(7) has every function cast to the one type.
template <typename T>
OSSL_DISPATCH Entry(int id, T function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

const OSSL_ALGORITHM* Query(void*, int operation, int* no_cache) {
  static const OSSL_DISPATCH functions[] = {
      Entry(OSSL_FUNC_KDF_NEWCTX, NewContext),
      Entry(OSSL_FUNC_KDF_FREECTX, FreeContext),
      Entry(OSSL_FUNC_KDF_RESET, ResetContext),
      Entry(OSSL_FUNC_KDF_DERIVE, Derive),
      Entry(OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, Settable),
      Entry(OSSL_FUNC_KDF_SET_CTX_PARAMS, SetParameters),
      {0, nullptr},
  };
  static const OSSL_ALGORITHM kdfs[] = {
      {OSSL_KDF_NAME_TLS1_3_KDF, "provider=postern", functions, "Postern's TLS 1.3 key schedule"},
      {nullptr, nullptr, nullptr, nullptr},
  };
  *no_cache = 0;
  return operation == OSSL_OP_KDF ? kdfs : nullptr;
}

int Initialize(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out,
               void** context) {
  static const OSSL_DISPATCH functions[] = {
      Entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, Query),
      {0, nullptr},
  };
  static int nothing;
  *out = functions;
  *context = &nothing;
  return 1;
}

OSSL_PROVIDER* LoadProvider() {
  OSSL_PROVIDER* provider = nullptr;
  if (OSSL_PROVIDER_add_builtin(nullptr, kProvider, Initialize) == 1) {
    // Fallback providers ("default" where openssl.cnf names none) stay: hence try_load.
    provider = OSSL_PROVIDER_try_load(nullptr, kProvider, /*retain_fallbacks=*/1);
  }
  ERR_clear_error();
  return provider;
}

}  // namespace

const char* UseOwnKdf() {
  // Loaded for the life of the process; kept, so that it is not taken for a leak.
  static OSSL_PROVIDER* const provider = LoadProvider();
  return provider != nullptr ? "?provider=postern" : nullptr;
}

SinkScope::SinkScope(TrafficSecretSink& sink) { current_sink = &sink; }
SinkScope::~SinkScope() { current_sink = nullptr; }

}  // namespace postern::tls
