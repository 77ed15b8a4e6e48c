// Files of any form. OpenSSL's OSSL_DECODER would find out the form by itself, but says nothing
// useful when it does not: a chain of guesses of our own knows what it has tried.
#include "postern/pki/material.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

#include <algorithm>

#include "pki/decrypt.h"
#include "pki/pem_file.h"
#include "postern/base/limits.h"

namespace postern::pki {
namespace {

// Terminals mistype; files and variables do not.
constexpr int kAttemptsAtTerminal = 3;

constexpr const char* kTakenForms =
    "give certificates and keys as PEM, DER, PKCS#7 (.p7b) or PKCS#12 (.p12, .pfx)";

std::unexpected<Error> Damaged(const std::string& what) {
  return Fail(fmt::format("{} cannot be decoded: {}", what, OpenSslErrors()),
              "copy it anew from where it was made");
}

// Decode runs one of OpenSSL's d2i functions, which has to take all octets. Null when it does not
// fit; the error queue is left as it is then.
template <typename Pointer, typename D2i>
Pointer Decode(D2i d2i, const SecretBytes& octets) {
  const unsigned char* at = octets.get().data();
  Pointer object(d2i(nullptr, &at, static_cast<long>(octets.get().size())));
  if (object != nullptr && at != octets.get().data() + octets.get().size()) object.reset();
  return object;
}

struct DeletePkcs {
  void operator()(PKCS7* p) const { PKCS7_free(p); }
  void operator()(PKCS12* p) const { PKCS12_free(p); }
  void operator()(X509_SIG* p) const { X509_SIG_free(p); }
  void operator()(X509_CRL* p) const { X509_CRL_free(p); }
};

void AddCertificate(Material& material, X509Ptr certificate, const std::string& from) {
  const bool known = std::ranges::any_of(material.certificates, [&](const FoundCertificate& other) {
    return X509_cmp(other.certificate.get(), certificate.get()) == 0;
  });
  if (!known) material.certificates.push_back({std::move(certificate), from});
}

void AddKey(Material& material, KeyPtr key, const std::string& from) {
  const bool known = std::ranges::any_of(material.keys, [&](const FoundKey& other) {
    return EVP_PKEY_eq(other.key.get(), key.get()) == 1;
  });
  ERR_clear_error();
  if (!known) material.keys.push_back({std::move(key), from});
}

// A PKCS#7 container is a bag of certificates here; what it may sign is nobody's concern.
bool AddPkcs7(Material& material, const PKCS7* container, const std::string& from) {
  if (!PKCS7_type_is_signed(container) || container->d.sign == nullptr) return false;
  const STACK_OF(X509)* certificates = container->d.sign->cert;
  for (int i = 0; certificates != nullptr && i < sk_X509_num(certificates); ++i) {
    X509* certificate = sk_X509_value(certificates, i);
    X509_up_ref(certificate);
    AddCertificate(material, X509Ptr(certificate), from);
  }
  return true;
}

Status AddPkcs12(Material& material, PKCS12* container, const std::string& from,
                 const AskPassphrase& ask) {
  Material inside;
  if (Status opened = OpenPkcs12(container, from, ask, inside); !opened) return opened;
  for (FoundKey& key : inside.keys) AddKey(material, std::move(key.key), from);
  for (FoundCertificate& certificate : inside.certificates) {
    AddCertificate(material, std::move(certificate.certificate), from);
  }
  return {};
}

// Takes a found object over, or reports the block as damaged.
template <typename Pointer, typename Add>
Status TakeOr(Pointer object, const std::string& what, const Add& add) {
  if (object == nullptr) return Damaged(what);
  ERR_clear_error();
  add(std::move(object));
  return {};
}

Status AddKeyBlock(Material& material, const PemBlock& block, const std::string& from,
                   const AskPassphrase& ask) {
  const std::string what = fmt::format("the key in {}", from);
  if (block.label == "OPENSSH PRIVATE KEY") {
    return Fail(fmt::format("{} holds an SSH key", from),
                "give the key that the certificate was made for");
  }
  if (block.encrypted) {
    Result<KeyPtr> key = block.label == "ENCRYPTED PRIVATE KEY"
                             ? OpenKey(block.der, what, ask)
                             : OpenTraditionalKey(block, what, ask);
    if (!key) return std::unexpected(key.error());
    AddKey(material, std::move(*key), from);
    return {};
  }
  return TakeOr(Decode<KeyPtr>(d2i_AutoPrivateKey, block.der), what,
                [&](KeyPtr key) { AddKey(material, std::move(key), from); });
}

Status AddBlock(Material& material, const PemBlock& block, const std::string& from,
                const AskPassphrase& ask) {
  const std::string what = fmt::format("the block \"{}\" in {}", block.label, from);
  const auto add_certificate = [&](X509Ptr certificate) {
    AddCertificate(material, std::move(certificate), from);
  };
  if (block.IsPrivateKey()) return AddKeyBlock(material, block, from, ask);
  if (block.IsCertificate()) {
    return TakeOr(Decode<X509Ptr>(d2i_X509, block.der), fmt::format("a certificate in {}", from),
                  add_certificate);
  }
  if (block.label == "TRUSTED CERTIFICATE") {
    return TakeOr(Decode<X509Ptr>(d2i_X509_AUX, block.der), what, add_certificate);
  }
  if (block.label == "PKCS7" || block.label == "CMS" || block.label == "PKCS #7 SIGNED DATA") {
    const auto container = Decode<std::unique_ptr<PKCS7, DeletePkcs>>(d2i_PKCS7, block.der);
    if (container == nullptr || !AddPkcs7(material, container.get(), from)) return Damaged(what);
    ERR_clear_error();
    return {};
  }
  if (block.label == "PKCS12") {
    const auto container = Decode<std::unique_ptr<PKCS12, DeletePkcs>>(d2i_PKCS12, block.der);
    if (container == nullptr) return Damaged(what);
    ERR_clear_error();
    return AddPkcs12(material, container.get(), from, ask);
  }
  if (block.label == "CERTIFICATE REQUEST" || block.label == "NEW CERTIFICATE REQUEST") {
    return TakeOr(Decode<RequestPtr>(d2i_X509_REQ, block.der), what, [&](RequestPtr request) {
      material.requests.push_back({std::move(request), from});
    });
  }
  // Parameters, public keys, revocation lists: they stand beside keys and certificates.
  material.passed_over.push_back(what);
  return {};
}

Status AddDer(Material& material, const SecretBytes& octets, const std::string& from,
              const AskPassphrase& ask) {
  if (X509Ptr certificate = Decode<X509Ptr>(d2i_X509, octets)) {
    AddCertificate(material, std::move(certificate), from);
  } else if (const auto container =
                 Decode<std::unique_ptr<PKCS12, DeletePkcs>>(d2i_PKCS12, octets)) {
    ERR_clear_error();
    return AddPkcs12(material, container.get(), from, ask);
  } else if (const auto bag = Decode<std::unique_ptr<PKCS7, DeletePkcs>>(d2i_PKCS7, octets);
             bag != nullptr && AddPkcs7(material, bag.get(), from)) {
    // Taken.
  } else if (const auto sealed =
                 Decode<std::unique_ptr<X509_SIG, DeletePkcs>>(d2i_X509_SIG, octets)) {
    ERR_clear_error();
    Result<KeyPtr> key = OpenKey(octets, fmt::format("the key in {}", from), ask);
    if (!key) return std::unexpected(key.error());
    AddKey(material, std::move(*key), from);
  } else if (RequestPtr request = Decode<RequestPtr>(d2i_X509_REQ, octets)) {
    material.requests.push_back({std::move(request), from});
  } else if (Decode<std::unique_ptr<X509_CRL, DeletePkcs>>(d2i_X509_CRL, octets) != nullptr) {
    material.passed_over.push_back("the list of revoked certificates " + from);
  } else if (KeyPtr key = Decode<KeyPtr>(d2i_AutoPrivateKey, octets)) {
    AddKey(material, std::move(key), from);
  } else {
    ERR_clear_error();
    return Fail(
        fmt::format("{} holds no certificate and no key in a form that is known here", from),
        kTakenForms);
  }
  ERR_clear_error();
  return {};
}

size_t ItemsIn(const Material& material) {
  return material.certificates.size() + material.keys.size() + material.requests.size() +
         material.passed_over.size();
}

}  // namespace

AskPassphrase PassphraseFrom(const PassphraseSource& source, const std::string& how_to_name_one,
                             bool may_ask) {
  return [source, how_to_name_one, may_ask](const std::string& what,
                                            int attempt) -> Result<SecretBytes> {
    if (source.kind == PassphraseKind::kNone) {
      return Fail(fmt::format("{} is encrypted, and no passphrase is known", what),
                  how_to_name_one);
    }
    const bool at_terminal = source.kind == PassphraseKind::kAsk;
    if (attempt >= (at_terminal ? kAttemptsAtTerminal : 1)) {
      return Fail(at_terminal ? fmt::format("the passphrase of {} is wrong", what)
                              : fmt::format("the passphrase of {}, from {}, is wrong", what,
                                            ToString(source)),
                  "give the passphrase that it was encrypted with; without it the key is lost, and "
                  "a new one has to be made");
    }
    return ReadPassphrase(source, what, may_ask);
  };
}

Status DecodeMaterial(const SecretBytes& octets, const std::string& from, const AskPassphrase& ask,
                      Material& material) {
  ERR_clear_error();
  Result<std::vector<PemBlock>> blocks = SplitPem(octets, from);
  if (!blocks) return std::unexpected(blocks.error());
  Status added;
  if (blocks->empty()) {
    added = AddDer(material, octets, from, ask);
  } else {
    for (const PemBlock& block : *blocks) {
      added = AddBlock(material, block, from, ask);
      if (!added) break;
      if (ItemsIn(material) > limits::kMaxImportedItems) {
        added = Fail(fmt::format("{} holds more than {} certificates and keys", from,
                                 limits::kMaxImportedItems),
                     "give the certificate, its key and its intermediates alone");
        break;
      }
    }
  }
  ERR_clear_error();
  return added;
}

Status ReadMaterial(const std::string& path, const AskPassphrase& ask, Material& material) {
  const Result<FileOctets> file = ReadOctets(path, "file");
  if (!file) return std::unexpected(file.error());
  return DecodeMaterial(file->octets, path, ask, material);
}

}  // namespace postern::pki
