// The quick way. It decides nothing that the long way (load_pair.cc) would decide otherwise, and
// says nothing: whatever is not plain is read once more there.
#include "postern/pki/plain_pair.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "pki/plain_certificate.h"
#include "pki/plain_ec_key.h"
#include "pki/plain_key.h"
#include "pki/strict_pem.h"

namespace postern::pki {
namespace {

constexpr size_t kMaxKnown = 1024;

std::optional<std::vector<StrictBlock>> ReadBlocks(const FileOctets& file) {
  auto blocks = ReadStrictPem(file.octets.text());
  return blocks && !blocks->empty() ? std::move(blocks) : std::nullopt;
}

// Appends the certificates of a file to the chain of `pair`.
bool AddCertificates(const std::string& path, FileStamp& stamp, Pair& pair) {
  const Result<FileOctets> file = ReadOctets(path, {});
  if (!file) return false;
  stamp = file->stamp;
  const auto blocks = ReadBlocks(*file);
  if (!blocks) return false;
  for (const StrictBlock& block : *blocks) {
    if (block.label != "CERTIFICATE" || pair.chain_der.size() == kMaxChain) return false;
    // The same one twice is for the long way, with a chain in a file of its own as without.
    if (std::ranges::find(pair.chain_der, block.der.get()) != pair.chain_der.end()) return false;
    pair.chain_der.push_back(block.der.get());
  }
  return true;
}

// The leaf's facts; nothing when the chain is not plain or not in order.
std::optional<PlainCertificate> ReadChain(KnownCertificates& known, Pair& pair) {
  std::optional<PlainCertificate> leaf;
  Octets issuer;
  for (const std::vector<unsigned char>& der : pair.chain_der) {
    auto certificate = ReadPlainCertificate(der);
    if (!certificate) return std::nullopt;
    // Of the leaf the key is compared with the private one; of the others nobody looks at it.
    if (leaf && (!Same(certificate->subject, issuer) || !known.Decodes(der))) return std::nullopt;
    issuer = certificate->issuer;
    pair.periods.push_back(certificate->period);
    pair.schemes |= certificate->schemes;
    if (!leaf) leaf = std::move(certificate);
  }
  return leaf;
}

std::optional<SecretBytes> EcKeyFor(const PlainCertificate& leaf, const PlainEcKey& key) {
  if (leaf.key_kind != key.kind) return std::nullopt;
  const auto point = PointOf(key);
  if (!point || !Same(*point, leaf.public_key)) return std::nullopt;
  if (!key.point.empty() && !Same(key.point, *point)) return std::nullopt;
  return EncodePlainEcKey(key, *point);
}

std::optional<SecretBytes> RsaKeyFor(const PlainCertificate& leaf, StrictBlock block) {
  if (leaf.key_kind != KeyClass::kRsa) return std::nullopt;
  PemBlock whole;
  whole.label = block.label;
  whole.der = std::move(block.der);
  const KeyPtr key = DecodePlainKey(whole);
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA ||
      !KeyFitsItself(key.get())) {
    return std::nullopt;
  }
  unsigned char* der = nullptr;
  const int size = i2d_PublicKey(key.get(), &der);
  const bool same = size > 0 && Same(Octets(der, static_cast<size_t>(size)), leaf.public_key);
  OPENSSL_free(der);
  if (!same) return std::nullopt;
  auto pkcs8 = EncodePkcs8(key.get());
  return pkcs8.get().empty() ? std::nullopt : std::optional(std::move(pkcs8));
}

// The key in its file as PKCS#8, when it is the leaf's.
std::optional<SecretBytes> ReadKey(const PairFiles& files, const PlainCertificate& leaf,
                                   FileStamp& stamp) {
  const Result<FileOctets> file = ReadOctets(files.key, {});
  if (!file || !CheckKeyMode(files.key, file->mode, files.place)) return std::nullopt;
  stamp = file->stamp;
  auto blocks = ReadBlocks(*file);
  if (!blocks || blocks->size() != 1) return std::nullopt;
  StrictBlock& block = blocks->front();
  if (const auto key = ReadPlainEcKey(block.label, block.der.get())) return EcKeyFor(leaf, *key);
  const bool maybe_rsa = block.label == "PRIVATE KEY" || block.label == "RSA PRIVATE KEY";
  return maybe_rsa ? RsaKeyFor(leaf, std::move(block)) : std::nullopt;
}

std::string TypeOf(const PlainCertificate& leaf) {
  return leaf.key_kind == KeyClass::kRsa ? fmt::format("RSA {}", leaf.key_bits)
                                         : fmt::format("EC P-{}", leaf.key_bits);
}

}  // namespace

bool KnownCertificates::Decodes(const std::vector<unsigned char>& der) {
  if (decoded_.contains(der)) return true;
  const unsigned char* at = der.data();
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  const bool decodes = certificate != nullptr && at == der.data() + der.size() &&
                       X509_get0_pubkey(certificate.get()) != nullptr;
  ERR_clear_error();
  if (!decodes) return false;
  if (decoded_.size() == kMaxKnown) decoded_.clear();
  decoded_.insert(der);
  return true;
}

std::optional<Pair> LoadPlainPair(const PairFiles& files, KnownCertificates& known) {
  const struct ClearErrors {
    ~ClearErrors() { ERR_clear_error(); }
  } clear_errors;
  Pair pair;
  if (!AddCertificates(files.certificate, pair.certificate_stamp, pair)) return std::nullopt;
  if (!files.chain.empty() && !AddCertificates(files.chain, pair.chain_stamp, pair)) {
    return std::nullopt;
  }
  std::optional<PlainCertificate> leaf = ReadChain(known, pair);
  if (!leaf) return std::nullopt;
  std::optional<SecretBytes> key = ReadKey(files, *leaf, pair.key_stamp);
  if (!key) return std::nullopt;
  pair.key_der = std::move(*key);
  pair.names = std::move(leaf->names);
  pair.not_before = leaf->period.not_before;
  pair.not_after = leaf->period.not_after;
  pair.key_type = TypeOf(*leaf);
  pair.key_kind = leaf->key_kind;
  pair.must_staple = leaf->must_staple;
  pair.warnings = PeriodWarnings(files.certificate, pair.periods, std::time(nullptr));
  return pair;
}

}  // namespace postern::pki
