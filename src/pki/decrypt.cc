// Encrypted keys and containers. Three things are told apart that OpenSSL reports alike: a wrong
// passphrase (ask again), an algorithm that it lacks (say which, and what to do) and damage.
//
// Old containers need RC2 and DES, which OpenSSL 3 keeps in its "legacy" provider. It is loaded
// when one of them is met and unloaded behind it: nothing that serves may come to use it.
#include "pki/decrypt.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "postern/base/limits.h"

namespace postern::pki {
namespace {

enum class Outcome { kOpened, kWrongPassphrase, kUnsupported, kDamaged };

struct UnloadProvider {
  void operator()(OSSL_PROVIDER* provider) const { OSSL_PROVIDER_unload(provider); }
};

// Judge reads OpenSSL's error queue (and leaves it) after a decryption that failed.
Outcome Judge() {
  // The first error is the cause; those after it are what the callers made of it.
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  if (reason == ERR_R_UNSUPPORTED) return Outcome::kUnsupported;
  const int library = ERR_GET_LIB(error);
  if (library == ERR_LIB_EVP && reason == EVP_R_UNSUPPORTED_ALGORITHM) return Outcome::kUnsupported;
  if (library == ERR_LIB_PEM && reason == PEM_R_UNSUPPORTED_ENCRYPTION)
    return Outcome::kUnsupported;
  // Whatever else: with the wrong key the padding is wrong, or what comes out is no key.
  return Outcome::kWrongPassphrase;
}

// TryWithLegacy runs `attempt`, and once more with the legacy provider when that may help.
template <typename Attempt>
Outcome TryWithLegacy(const Attempt& attempt) {
  ERR_clear_error();
  const Outcome outcome = attempt();
  if (outcome != Outcome::kUnsupported) return outcome;
  const std::unique_ptr<OSSL_PROVIDER, UnloadProvider> legacy(
      OSSL_PROVIDER_try_load(nullptr, "legacy", 1));
  if (legacy != nullptr) ERR_clear_error();
  return legacy != nullptr ? attempt() : outcome;
}

// The first error names the algorithm; what follows is about providers and modules.
std::unexpected<Error> Unsupported(const std::string& what) {
  std::string why = OpenSslErrors();
  why.resize(std::min(why.find("), "), why.size()));
  return Fail(fmt::format("{} is encrypted in a way that {} here does not know: {}", what,
                          OpenSSL_version(OPENSSL_VERSION), why),
              "export it again with AES-256 from the program that has it, or convert it on a "
              "machine that has OpenSSL's legacy provider (openssl pkcs12 -legacy ... -nodes, or "
              "openssl pkey)");
}

std::unexpected<Error> TooManyRounds(const std::string& what) {
  return Fail(
      fmt::format("{} asks for more than {} rounds of hashing", what, limits::kMaxPassphraseRounds),
      "no program makes such files; get it anew from where it was made");
}

// Open asks until `attempt` (SecretBytes -> Outcome) has opened it.
template <typename Attempt>
Status Open(const std::string& what, const AskPassphrase& ask, const Attempt& attempt) {
  for (int number = 0;; ++number) {
    const Result<SecretBytes> passphrase = ask(what, number);
    if (!passphrase) return std::unexpected(passphrase.error());
    const Outcome outcome = TryWithLegacy([&] { return attempt(*passphrase); });
    switch (outcome) {
      case Outcome::kOpened:
        ERR_clear_error();
        return {};
      case Outcome::kWrongPassphrase:
        ERR_clear_error();
        continue;
      case Outcome::kUnsupported:
        return Unsupported(what);
      case Outcome::kDamaged:
        return Fail(fmt::format("{} is damaged: {}", what, OpenSslErrors()),
                    "get it anew from where it was made");
    }
  }
}

// Rounds of the algorithm that turns the passphrase into a key; nothing when it is of another kind
// (scrypt bounds itself).
std::optional<long> Rounds(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  int type = 0;
  const void* value = nullptr;
  X509_ALGOR_get0(&object, &type, &value, algorithm);
  if (type != V_ASN1_SEQUENCE) return std::nullopt;
  const auto* sequence = static_cast<const ASN1_STRING*>(value);
  const ASN1_INTEGER* rounds = nullptr;
  PBE2PARAM* pbe2 = nullptr;
  PBKDF2PARAM* pbkdf2 = nullptr;
  PBEPARAM* pbe = nullptr;
  const auto unpack = [](const ASN1_STRING* text, const ASN1_ITEM* item) {
    return ASN1_item_unpack(text, item);
  };
  if (OBJ_obj2nid(object) == NID_pbes2) {
    pbe2 = static_cast<PBE2PARAM*>(unpack(sequence, ASN1_ITEM_rptr(PBE2PARAM)));
    if (pbe2 != nullptr && OBJ_obj2nid(pbe2->keyfunc->algorithm) == NID_id_pbkdf2 &&
        pbe2->keyfunc->parameter != nullptr && pbe2->keyfunc->parameter->type == V_ASN1_SEQUENCE) {
      pbkdf2 = static_cast<PBKDF2PARAM*>(
          unpack(pbe2->keyfunc->parameter->value.sequence, ASN1_ITEM_rptr(PBKDF2PARAM)));
      if (pbkdf2 != nullptr) rounds = pbkdf2->iter;
    }
  } else {
    pbe = static_cast<PBEPARAM*>(unpack(sequence, ASN1_ITEM_rptr(PBEPARAM)));
    if (pbe != nullptr) rounds = pbe->iter;
  }
  std::optional<long> count;
  if (rounds != nullptr) {
    int64_t number = 0;
    count = ASN1_INTEGER_get_int64(&number, rounds) == 1 ? static_cast<long>(number)
                                                         : limits::kMaxPassphraseRounds + 1;
  }
  PBE2PARAM_free(pbe2);
  PBKDF2PARAM_free(pbkdf2);
  PBEPARAM_free(pbe);
  ERR_clear_error();
  return count;
}

bool Reasonable(const X509_ALGOR* algorithm) {
  return Rounds(algorithm).value_or(0) <= limits::kMaxPassphraseRounds;
}

// The passphrase as OpenSSL's PKCS#12 functions want it: ended by a zero.
class Terminated {
 public:
  explicit Terminated(const SecretBytes& passphrase) {
    std::vector<unsigned char> octets(passphrase.get().size() + 1);
    std::ranges::copy(passphrase.get(), octets.begin());
    octets_ = SecretBytes(std::move(octets));
  }
  const char* get() const { return reinterpret_cast<const char*>(octets_.get().data()); }

 private:
  SecretBytes octets_;
};

struct Contents {
  KeyPtr key;
  X509Ptr certificate;
  STACK_OF(X509) * others = nullptr;

  Contents() = default;
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;
  ~Contents() { sk_X509_pop_free(others, X509_free); }
};

// A null passphrase and an empty one differ in PKCS#12.
Outcome Unpack(PKCS12* container, const char* passphrase, Contents& contents) {
  if (PKCS12_mac_present(container) == 1 && PKCS12_verify_mac(container, passphrase, -1) != 1) {
    return Judge();
  }
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  if (PKCS12_parse(container, passphrase, &key, &certificate, &contents.others) != 1) {
    return Judge();
  }
  contents.key.reset(key);
  contents.certificate.reset(certificate);
  return Outcome::kOpened;
}

bool ReasonableContainer(PKCS12* container) {
  const ASN1_INTEGER* mac_rounds = nullptr;
  PKCS12_get0_mac(nullptr, nullptr, nullptr, &mac_rounds, container);
  int64_t number = 1;
  if (mac_rounds != nullptr && ASN1_INTEGER_get_int64(&number, mac_rounds) != 1) return false;
  if (number > limits::kMaxPassphraseRounds) return false;
  STACK_OF(PKCS7)* safes = PKCS12_unpack_authsafes(container);
  bool reasonable = true;
  for (int i = 0; safes != nullptr && i < sk_PKCS7_num(safes); ++i) {
    const PKCS7* safe = sk_PKCS7_value(safes, i);
    if (!PKCS7_type_is_encrypted(safe) || safe->d.encrypted == nullptr) continue;
    reasonable = reasonable && Reasonable(safe->d.encrypted->enc_data->algorithm);
  }
  sk_PKCS7_pop_free(safes, PKCS7_free);
  ERR_clear_error();
  return reasonable;
}

}  // namespace

Result<KeyPtr> OpenKey(const SecretBytes& der, const std::string& what, const AskPassphrase& ask) {
  const unsigned char* at = der.get().data();
  const std::unique_ptr<X509_SIG, decltype(&X509_SIG_free)> sealed(
      d2i_X509_SIG(nullptr, &at, static_cast<long>(der.get().size())), X509_SIG_free);
  if (sealed == nullptr) {
    return Fail(fmt::format("{} is damaged: {}", what, OpenSslErrors()),
                "get it anew from where it was made");
  }
  const X509_ALGOR* algorithm = nullptr;
  X509_SIG_get0(sealed.get(), &algorithm, nullptr);
  if (!Reasonable(algorithm)) return TooManyRounds(what);
  KeyPtr key;
  const Status opened = Open(what, ask, [&](const SecretBytes& passphrase) {
    PKCS8_PRIV_KEY_INFO* info = PKCS8_decrypt(sealed.get(), passphrase.text().data(),
                                              static_cast<int>(passphrase.get().size()));
    if (info == nullptr) return Judge();
    key.reset(EVP_PKCS82PKEY(info));
    PKCS8_PRIV_KEY_INFO_free(info);
    return key != nullptr ? Outcome::kOpened : Outcome::kDamaged;
  });
  if (!opened) return std::unexpected(opened.error());
  return key;
}

Result<KeyPtr> OpenTraditionalKey(const PemBlock& block, const std::string& what,
                                  const AskPassphrase& ask) {
  KeyPtr key;
  const Status opened = Open(what, ask, [&](const SecretBytes& passphrase) {
    EVP_CIPHER_INFO cipher{};
    std::string header = block.header;
    if (PEM_get_EVP_CIPHER_INFO(header.data(), &cipher) != 1) return Judge();
    std::vector<unsigned char> copy = block.der.get();  // decrypted where it lies
    long size = static_cast<long>(copy.size());
    const auto answer = [](char* buffer, int room, int, void* user) {
      const auto& secret = *static_cast<const SecretBytes*>(user);
      const int length = std::min(static_cast<int>(secret.get().size()), room);
      std::copy_n(secret.get().begin(), length, buffer);
      return length;
    };
    const int decrypted =
        PEM_do_header(&cipher, copy.data(), &size, answer, const_cast<SecretBytes*>(&passphrase));
    const SecretBytes plain(std::move(copy));
    if (decrypted != 1) return Judge();
    const unsigned char* at = plain.get().data();
    key.reset(d2i_AutoPrivateKey(nullptr, &at, size));
    // The padding of a wrong passphrase is right once in 256 times.
    return key != nullptr ? Outcome::kOpened : Outcome::kWrongPassphrase;
  });
  if (!opened) return std::unexpected(opened.error());
  return key;
}

Status OpenPkcs12(PKCS12* container, const std::string& from, const AskPassphrase& ask,
                  Material& material) {
  const std::string what = fmt::format("the PKCS#12 container {}", from);
  if (!ReasonableContainer(container)) return TooManyRounds(what);
  Contents contents;
  Outcome outcome = TryWithLegacy([&] { return Unpack(container, "", contents); });
  if (outcome == Outcome::kWrongPassphrase) {
    outcome = TryWithLegacy([&] { return Unpack(container, nullptr, contents); });
  }
  if (outcome == Outcome::kUnsupported) return Unsupported(what);
  ERR_clear_error();
  if (outcome != Outcome::kOpened) {
    const Status opened = Open(what, ask, [&](const SecretBytes& passphrase) {
      return Unpack(container, Terminated(passphrase).get(), contents);
    });
    if (!opened) return opened;
  }
  if (contents.key != nullptr) material.keys.push_back({std::move(contents.key), from});
  if (contents.certificate != nullptr) {
    material.certificates.push_back({std::move(contents.certificate), from});
  }
  while (contents.others != nullptr && sk_X509_num(contents.others) > 0) {
    material.certificates.push_back({X509Ptr(sk_X509_shift(contents.others)), from});
  }
  return {};
}

}  // namespace postern::pki
