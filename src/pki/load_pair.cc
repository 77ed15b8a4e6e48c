// LoadPair: from two PEM files to a pair that can serve, or to the one sentence that tells the
// administrator what to mend. What a client would refuse (expired, weak) is served with a warning:
// the administrator may have reasons, and no service is worse than a bad one.
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <optional>

#include "pki/decrypt.h"
#include "pki/pem_file.h"
#include "postern/pki/certificate.h"
#include "postern/pki/chain.h"
#include "postern/pki/describe.h"

namespace postern::pki {
namespace {

struct Chain {
  std::vector<X509Ptr> certificates;
  std::vector<std::vector<unsigned char>> der;
};

// In "certificate 2 of 3"; nothing when there is but one.
std::string Position(size_t index, size_t count) {
  return count == 1 ? "the certificate" : fmt::format("certificate {} of {}", index + 1, count);
}

std::unexpected<Error> NoCertificate(const PemFile& file) {
  const auto is = [&](std::string_view form, std::string remedy) {
    return Fail(fmt::format("certificate file {} holds {}, no certificate", file.path, form),
                std::move(remedy));
  };
  for (const PemBlock& block : file.blocks) {
    if (block.IsPrivateKey()) {
      return is("a private key",
                "name the file with the certificate chain here; were certificate "
                "and key exchanged?");
    }
  }
  if (file.Find("CERTIFICATE REQUEST") != nullptr ||
      file.Find("NEW CERTIFICATE REQUEST") != nullptr) {
    return is("a certificate request", "use the certificate that the authority returned for it");
  }
  if (file.Find("PKCS7") != nullptr) {
    return is("a PKCS#7 container",
              fmt::format("take the certificates out: openssl pkcs7 -in {0} -print_certs -out "
                          "{0}.pem",
                          file.path));
  }
  if (file.Find("TRUSTED CERTIFICATE") != nullptr) {
    return is("a certificate with OpenSSL's own trust settings",
              fmt::format("convert it: openssl x509 -in {0} -out {0}.pem", file.path));
  }
  return is(fmt::format("a block \"{}\"", file.blocks.front().label),
            "name the file with the certificate chain here");
}

// AddCertificates appends the certificates of a file; `chain` holds none of them yet.
Status AddCertificates(const PemFile& file, Chain& chain) {
  size_t count = 0;
  for (const PemBlock& block : file.blocks) count += block.IsCertificate() ? 1 : 0;
  if (count == 0) return NoCertificate(file);
  if (count > kMaxChain) {
    return Fail(fmt::format("certificate file {} holds {} certificates, more than {}", file.path,
                            count, kMaxChain),
                "keep the leaf and its intermediates; a bundle of roots does not belong here");
  }
  size_t number = 0;
  for (const PemBlock& block : file.blocks) {
    if (!block.IsCertificate()) continue;
    const std::vector<unsigned char>& der = block.der.get();
    const unsigned char* at = der.data();
    X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (certificate == nullptr || at != der.data() + der.size() ||
        X509_get0_pubkey(certificate.get()) == nullptr) {
      std::string why = OpenSslErrors();
      if (why.empty()) why = "octets behind its end";
      return Fail(
          fmt::format("{} in {} cannot be decoded: {}", Position(number, count), file.path, why),
          "copy the certificate anew from the authority that issued it");
    }
    chain.certificates.push_back(std::move(certificate));
    chain.der.push_back(der);
    ++number;
  }
  for (size_t i = 1; i < chain.der.size(); ++i) {
    if (chain.der[i] != chain.der[0]) continue;
    return Fail(fmt::format("certificate file {} holds its first certificate ({}) twice, as "
                            "certificate 1 and {}",
                            file.path, Subject(chain.certificates[0].get()), i + 1),
                "delete the second copy; behind the leaf only its intermediates belong");
  }
  return {};
}

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
    const std::vector<unsigned char>& der = block.der.get();
    const unsigned char* at = der.data();
    KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
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
  return key;
}

bool Belongs(const X509Ptr& certificate, const EVP_PKEY* key) {
  const bool equal = EVP_PKEY_eq(X509_get0_pubkey(certificate.get()), key) == 1;
  ERR_clear_error();
  return equal;
}

// FindLeaf is the place of the certificate that the key belongs to, nearly always the first.
std::optional<size_t> FindLeaf(const Chain& chain, const EVP_PKEY* key) {
  for (size_t i = 0; i < chain.certificates.size(); ++i) {
    if (Belongs(chain.certificates[i], key)) return i;
  }
  return std::nullopt;
}

std::unexpected<Error> NoMatch(const Chain& chain, const EVP_PKEY* key, const PairFiles& files) {
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

// PutInOrder puts the leaf first and its issuers behind it, when they are not so already. What is
// no part of the chain stays behind when it stands in the certificate's own file, and is dropped
// when it comes from the file of the chain.
void PutInOrder(Chain& chain, size_t leaf, size_t own, const PairFiles& files, Pair& pair) {
  std::vector<X509*> all;
  for (const X509Ptr& certificate : chain.certificates) all.push_back(certificate.get());
  if (leaf == 0 && InOrder(all)) return;
  const OrderedChain ordered = OrderChain(all[leaf], all);
  Chain fresh;
  size_t dropped = 0;
  const auto take = [&](X509* wanted) {
    const size_t at = static_cast<size_t>(std::ranges::find(all, wanted) - all.begin());
    fresh.certificates.push_back(std::move(chain.certificates[at]));
    fresh.der.push_back(std::move(chain.der[at]));
  };
  for (X509* certificate : ordered.chain) take(certificate);
  for (X509* certificate : ordered.unused) {
    const auto at = static_cast<size_t>(std::ranges::find(all, certificate) - all.begin());
    if (at < own) {
      take(certificate);
    } else {
      ++dropped;
    }
  }
  chain = std::move(fresh);
  if (dropped > 0) {
    pair.weaknesses.push_back(
        {fmt::format("{} of the certificates in {} {} no part of the chain of {}, and not sent",
                     dropped, files.chain, dropped == 1 ? "is" : "are", files.certificate),
         "remove what does not belong there",
         {}});
  }
  std::vector<X509*> now;
  for (size_t i = 0; i < ordered.chain.size(); ++i) now.push_back(all[i]);
  if (now != ordered.chain) {
    pair.weaknesses.push_back(
        {fmt::format("the certificates in {} stand in another order than their chain; they are "
                     "sent in the right one",
                     files.certificate),
         "put the leaf first, and behind each certificate its issuer's",
         {}});
  }
}

// Pkcs8 encodes into a buffer of the right size from the start.
Result<SecretBytes> Pkcs8(const EVP_PKEY* key, const std::string& path) {
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key);
  const int size = info == nullptr ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, nullptr);
  if (size <= 0) {
    PKCS8_PRIV_KEY_INFO_free(info);
    return Fail(fmt::format("the private key in {} cannot be encoded: {}", path, OpenSslErrors()),
                "make a new EC, RSA or Ed25519 key, and have the certificate issued anew");
  }
  std::vector<unsigned char> der(static_cast<size_t>(size));
  unsigned char* at = der.data();
  i2d_PKCS8_PRIV_KEY_INFO(info, &at);
  PKCS8_PRIV_KEY_INFO_free(info);  // wipes the octets it holds
  return SecretBytes(std::move(der));
}

void AddWeakKey(Pair& pair, const EVP_PKEY* key, const std::string& path) {
  const std::string weak = WeakKey(key);
  if (weak.empty()) return;
  pair.weaknesses.push_back({fmt::format("the key of the certificate in {} is only {}", path, weak),
                             "clients and libraries refuse it: make an EC P-256 or RSA 2048 key "
                             "and have the certificate issued anew",
                             {}});
}

void AddWeakSignatures(Pair& pair, const Chain& chain, const std::string& path) {
  for (size_t i = 0; i < chain.certificates.size(); ++i) {
    X509* certificate = chain.certificates[i].get();
    const std::string weak = WeakSignature(certificate);
    if (weak.empty()) continue;
    pair.weaknesses.push_back(
        {fmt::format("{} in {} ({}) is signed with {}", Position(i, chain.certificates.size()),
                     path, Subject(certificate), weak),
         "clients refuse it: have it issued anew with SHA-256",
         {}});
  }
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
Status TakeKeyOfBefore(const Chain& chain, const PairFiles& files, KeyRead& read,
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

Result<Chain> ReadChain(const PairFiles& files, Pair& pair, size_t& own) {
  Chain chain;
  const Result<PemFile> file = ReadPemFile(files.certificate, Content::kCertificate);
  if (!file) return std::unexpected(file.error());
  pair.certificate_stamp = file->stamp;
  if (Status added = AddCertificates(*file, chain); !added) return std::unexpected(added.error());
  own = chain.der.size();
  if (files.chain.empty()) return chain;
  const Result<PemFile> more = ReadPemFile(files.chain, Content::kCertificate);
  if (!more) return std::unexpected(more.error());
  pair.chain_stamp = more->stamp;
  Chain behind;
  if (Status added = AddCertificates(*more, behind); !added) return std::unexpected(added.error());
  // Authorities hand out "the chain" with the leaf in it as often as without.
  for (size_t i = 0; i < behind.der.size(); ++i) {
    if (std::ranges::find(chain.der, behind.der[i]) != chain.der.end()) continue;
    chain.certificates.push_back(std::move(behind.certificates[i]));
    chain.der.push_back(std::move(behind.der[i]));
  }
  if (chain.der.size() <= kMaxChain) return chain;
  return Fail(fmt::format("{} and {} hold {} certificates, more than {}", files.certificate,
                          files.chain, chain.der.size(), kMaxChain),
              "keep the leaf and its intermediates; a bundle of roots does not belong here");
}

}  // namespace

std::vector<Error> PeriodWarnings(const std::string& certificate_path,
                                  const std::vector<Period>& periods, int64_t now) {
  std::vector<Error> warnings;
  for (size_t i = 0; i < periods.size(); ++i) {
    const std::string which =
        fmt::format("{} in {}", Position(i, periods.size()), certificate_path);
    if (periods[i].not_after < now) {
      warnings.push_back({fmt::format("{} expired at {}", which, TimeText(periods[i].not_after)),
                          "renew it; clients refuse it",
                          {}});
    } else if (periods[i].not_before > now) {
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
  size_t own = 0;  // certificates in the certificate's own file
  Result<Chain> chain = ReadChain(files, pair, own);
  if (!chain) return std::unexpected(chain.error());
  Result<KeyRead> read = ReadKeyFile(files.key, files);
  if (!read) return std::unexpected(read.error());
  std::optional<size_t> leaf = FindLeaf(*chain, read->key.get());
  if (!leaf.has_value()) {
    if (Status taken = TakeKeyOfBefore(*chain, files, *read, leaf, pair); !taken) {
      return std::unexpected(taken.error());
    }
  }
  PutInOrder(*chain, *leaf, own, files, pair);
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
  pair.key_stamp = read->file.stamp;
  AddWeakKey(pair, key, files.certificate);
  AddWeakSignatures(pair, *chain, files.certificate);
  pair.chain_der = std::move(chain->der);
  pair.warnings = pair.weaknesses;
  for (Error& warning : PeriodWarnings(files.certificate, pair.periods, std::time(nullptr))) {
    pair.warnings.push_back(std::move(warning));
  }
  return pair;
}

}  // namespace postern::pki
