// LoadPair: from two PEM files to a pair that can serve, or to the one sentence that tells the
// administrator what to mend. What some clients would refuse (expired, say) is served with a
// warning: the administrator may have reasons, and no service is worse than a bad one. What no
// client can be served with is a fault.
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <ctime>
#include <optional>

#include "pki/decrypt.h"
#include "pki/pair_chain.h"
#include "pki/pem_file.h"
#include "pki/plain_key.h"
#include "postern/pki/certificate.h"
#include "postern/pki/describe.h"
#include "postern/pki/judge.h"

namespace postern::pki {
namespace {

std::unexpected<Error> NoKey(const PemFile& file) {
  for (const PemBlock& block : file.blocks) {
    if (block.IsCertificate()) {
      return Fail(fmt::format("key file {} holds a certificate, no private key", file.path),
                  "name the file with the private key here; were certificate and key exchanged?");
    }
  }
  return Fail(fmt::format("key file {} holds a block \"{}\", no private key", file.path,
                          file.blocks.front().label),
              "name the file with the private key here");
}

// Servable: TLS wants signatures from a server's key.
Status Servable(const EVP_PKEY* key, const std::string& path) {
  if (EVP_PKEY_can_sign(key) == 1 && EVP_PKEY_get_base_id(key) != EVP_PKEY_DSA) return {};
  ERR_clear_error();
  return Fail(fmt::format("the {} key in {} cannot serve TLS", KeyType(key), path),
              "use an EC, RSA or Ed25519 key, and a certificate for it");
}

// The key of a block that is the only one of its file.
Result<KeyPtr> DecodeKey(const PemFile& file, const PemBlock& block, const PairFiles& files) {
  if (!block.encrypted) {
    KeyPtr key = DecodePlainKey(block);
    if (key != nullptr) return key;
    return Fail(
        fmt::format("the private key in {} cannot be decoded: {}", file.path, OpenSslErrors()),
        "copy the key anew from where it was made");
  }
  const std::string what = fmt::format("the private key in {}", file.path);
  const AskPassphrase ask = PassphraseFrom(
      files.passphrase,
      fmt::format("say where it is to be had, passphrase = \"file:PATH\" beside it in the "
                  "configuration, or decrypt it: umask 077; openssl pkey -in {0} -out {0}.plain, "
                  "then put {0}.plain in its place",
                  file.path),
      files.may_ask);
  return block.label == "ENCRYPTED PRIVATE KEY" ? OpenKey(block.der, what, ask)
                                                : OpenTraditionalKey(block, what, ask);
}

Result<KeyPtr> ReadKey(const PemFile& file, const PairFiles& files) {
  const PemBlock* found = nullptr;
  size_t count = 0;
  for (const PemBlock& block : file.blocks) {
    if (!block.IsPrivateKey()) continue;
    if (found == nullptr) found = &block;
    ++count;
  }
  if (found == nullptr) return NoKey(file);
  if (count > 1) {
    return Fail(fmt::format("key file {} holds {} private keys", file.path, count),
                "keep the one that belongs to the certificate");
  }
  if (found->label == "OPENSSH PRIVATE KEY") {
    return Fail(fmt::format("key file {} holds an SSH key", file.path),
                "name the key that the certificate was made for");
  }
  Result<KeyPtr> key = DecodeKey(file, *found, files);
  if (!key) return key;
  ERR_clear_error();  // the decoders that did not match leave their complaints
  if (Status servable = Servable(key->get(), file.path); !servable) {
    return std::unexpected(servable.error());
  }
  if (!KeyFitsItself(key->get())) {
    return Fail(
        fmt::format("the private key in {} is damaged: it says of itself that it belongs to "
                    "another public key than it does",
                    file.path),
        "copy the key anew from where it was made");
  }
  return key;
}

std::unexpected<Error> NoMatch(const PairChain& chain, const EVP_PKEY* key,
                               const PairFiles& files) {
  const EVP_PKEY* expected = X509_get0_pubkey(chain.certificates[0].get());
  return Fail(
      fmt::format("the key in {} ({}, fingerprint {}) does not belong to the certificate in "
                  "{} ({}, which is for a key {}, fingerprint {})",
                  files.key, KeyType(key), KeyFingerprint(key), files.certificate,
                  Subject(chain.certificates[0].get()), KeyType(expected),
                  KeyFingerprint(expected)),
      "name the key that the certificate was made for, or have a certificate issued for "
      "this key");
}

Result<SecretBytes> Pkcs8(const EVP_PKEY* key, const std::string& path) {
  SecretBytes der = EncodePkcs8(key);
  if (!der.get().empty()) return der;
  return Fail(fmt::format("the private key in {} cannot be encoded: {}", path, OpenSslErrors()),
              "make a new EC, RSA or Ed25519 key, and have the certificate issued anew");
}

void AddForeignNames(Pair& pair, const X509* leaf, const std::string& path) {
  for (const std::string& name : NamesNotAscii(leaf)) {
    pair.weaknesses.push_back(
        {fmt::format("the name \"{}\" of the certificate in {} is not in its ASCII form: no client "
                     "finds it",
                     name, path),
         "have the certificate issued for the name that begins with xn--",
         {}});
  }
}

// The first reason why nobody can be served with the chain. What libssl refuses it refuses when a
// client has come, who then gets internal_error: so it is told here, while the pair of before
// serves on. All that is sent counts, whether it is part of the chain or not.
Status CheckServable(const PairChain& chain, const std::string& path) {
  for (size_t i = 0; i < chain.certificates.size(); ++i) {
    X509* certificate = chain.certificates[i].get();
    const std::string what = fmt::format("{} in {} ({})", Position(i, chain.certificates.size()),
                                         path, Subject(certificate));
    std::vector<Error> faults =
        Unservable(certificate, i == 0 ? Role::kServer : Role::kAuthority, what);
    if (!faults.empty()) return std::unexpected(std::move(faults.front()));
  }
  return {};
}

// The key, and where it was.
struct KeyRead {
  PemFile file;
  KeyPtr key;
};

Result<KeyRead> ReadKeyFile(const std::string& path, const PairFiles& files) {
  Result<PemFile> file = ReadPemFile(path, Content::kKey);
  if (!file) return std::unexpected(file.error());
  if (Status closed = CheckKeyMode(path, file->mode, files.place); !closed) {
    return std::unexpected(closed.error());
  }
  Result<KeyPtr> key = ReadKey(*file, files);
  if (!key) return std::unexpected(key.error());
  return KeyRead{std::move(*file), std::move(*key)};
}

// When the key fits no certificate: the key of before, if its pair is being replaced right now or
// the replacement was cut off (store.h).
Status TakeKeyOfBefore(const PairChain& chain, const PairFiles& files, KeyRead& read,
                       std::optional<size_t>& leaf, Pair& pair) {
  const std::string before = files.key + std::string(kPreviousSuffix);
  if (files.place == KeyPlace::kStore) {
    Result<KeyRead> other = ReadKeyFile(before, files);
    if (other) leaf = FindLeaf(chain, other->key.get());
    if (leaf.has_value()) {
      read.key = std::move(other->key);
      pair.weaknesses.push_back(
          {fmt::format("the key in {} does not belong to {}, but the one before it, {}, does: the "
                       "pair of before serves",
                       files.key, files.certificate, before),
           "import the new pair again, or go back: postern cert revert",
           {}});
      return {};
    }
  }
  return NoMatch(chain, read.key.get(), files);
}

}  // namespace

std::vector<Error> PeriodWarnings(const std::string& certificate_path,
                                  const std::vector<Period>& periods, int64_t now) {
  std::vector<Error> warnings;
  for (size_t i = 0; i < periods.size(); ++i) {
    const bool expired = periods[i].not_after < now;
    if (!expired && periods[i].not_before <= now) continue;
    const std::string which =
        fmt::format("{} in {}", Position(i, periods.size()), certificate_path);
    if (expired) {
      warnings.push_back({fmt::format("{} expired at {}", which, TimeText(periods[i].not_after)),
                          "renew it; clients refuse it",
                          {}});
    } else {
      warnings.push_back(
          {fmt::format("{} is not valid before {}", which, TimeText(periods[i].not_before)),
           fmt::format("look at this machine's clock ({} now), or wait", TimeText(now)),
           {}});
    }
  }
  return warnings;
}

Result<Pair> LoadPair(const std::string& certificate_path, const std::string& key_path) {
  return LoadPair(PairFiles{.certificate = certificate_path, .key = key_path, .chain = {}});
}

Result<Pair> LoadPair(const PairFiles& files) {
  // Whoever calls OpenSSL next must not take our complaints for its own.
  const struct ClearErrors {
    ~ClearErrors() { ERR_clear_error(); }
  } clear_errors;
  Pair pair;
  Result<PairChain> chain = ReadChain(files, pair);
  if (!chain) return std::unexpected(chain.error());
  Result<KeyRead> read = ReadKeyFile(files.key, files);
  if (!read) return std::unexpected(read.error());
  std::optional<size_t> leaf = FindLeaf(*chain, read->key.get());
  if (!leaf.has_value()) {
    if (Status taken = TakeKeyOfBefore(*chain, files, *read, leaf, pair); !taken) {
      return std::unexpected(taken.error());
    }
  }
  PutInOrder(*chain, *leaf, files, pair);
  if (Status servable = CheckServable(*chain, files.certificate); !servable) {
    return std::unexpected(servable.error());
  }
  const EVP_PKEY* key = read->key.get();
  Result<SecretBytes> key_der = Pkcs8(key, files.key);
  if (!key_der) return std::unexpected(key_der.error());

  pair.key_der = std::move(*key_der);
  pair.names = HostNames(chain->certificates[0].get());
  for (const X509Ptr& certificate : chain->certificates) {
    pair.periods.push_back(PeriodOf(certificate.get()));
  }
  pair.not_before = pair.periods[0].not_before;
  pair.not_after = pair.periods[0].not_after;
  pair.key_type = KeyType(key);
  pair.key_kind = KindOf(key);
  for (const X509Ptr& certificate : chain->certificates) {
    pair.schemes |= SchemeNeeded(certificate.get());
  }
  pair.must_staple = X509_get_ext_by_NID(chain->certificates[0].get(), NID_tlsfeature, -1) >= 0;
  pair.key_stamp = read->file.stamp;
  AddForeignNames(pair, chain->certificates[0].get(), files.certificate);
  pair.chain_der = std::move(chain->der);
  pair.warnings = pair.weaknesses;
  for (Error& warning : PeriodWarnings(files.certificate, pair.periods, std::time(nullptr))) {
    pair.warnings.push_back(std::move(warning));
  }
  return pair;
}

}  // namespace postern::pki
