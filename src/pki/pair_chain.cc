// The chain of a pair. Nothing is verified that stands in order already: at a start with 100,000
// certificates a signature for each would take longer than all the rest.
#include "pki/pair_chain.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>

#include "pki/pem_file.h"
#include "postern/pki/chain.h"
#include "postern/pki/describe.h"

namespace postern::pki {
namespace {

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
Status AddCertificates(const PemFile& file, PairChain& chain) {
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

bool Belongs(const X509Ptr& certificate, const EVP_PKEY* key) {
  const bool equal = EVP_PKEY_eq(X509_get0_pubkey(certificate.get()), key) == 1;
  ERR_clear_error();
  return equal;
}

}  // namespace

std::string Position(size_t index, size_t count) {
  return count == 1 ? "the certificate" : fmt::format("certificate {} of {}", index + 1, count);
}

Result<PairChain> ReadChain(const PairFiles& files, Pair& pair) {
  PairChain chain;
  const Result<PemFile> file = ReadPemFile(files.certificate, Content::kCertificate);
  if (!file) return std::unexpected(file.error());
  pair.certificate_stamp = file->stamp;
  if (Status added = AddCertificates(*file, chain); !added) return std::unexpected(added.error());
  chain.own = chain.der.size();
  if (files.chain.empty()) return chain;
  const Result<PemFile> more = ReadPemFile(files.chain, Content::kCertificate);
  if (!more) return std::unexpected(more.error());
  pair.chain_stamp = more->stamp;
  PairChain behind;
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

std::optional<size_t> FindLeaf(const PairChain& chain, const EVP_PKEY* key) {
  for (size_t i = 0; i < chain.certificates.size(); ++i) {
    if (Belongs(chain.certificates[i], key)) return i;
  }
  return std::nullopt;
}

void PutInOrder(PairChain& chain, size_t leaf, const PairFiles& files, Pair& pair) {
  std::vector<X509*> all;
  for (const X509Ptr& certificate : chain.certificates) all.push_back(certificate.get());
  if (leaf == 0 && InOrder(all)) return;
  const OrderedChain ordered = OrderChain(all[leaf], all);
  PairChain fresh;
  size_t dropped = 0;
  const auto take = [&](X509* wanted) {
    const size_t at = static_cast<size_t>(std::ranges::find(all, wanted) - all.begin());
    fresh.certificates.push_back(std::move(chain.certificates[at]));
    fresh.der.push_back(std::move(chain.der[at]));
  };
  for (X509* certificate : ordered.chain) take(certificate);
  for (X509* certificate : ordered.unused) {
    const auto at = static_cast<size_t>(std::ranges::find(all, certificate) - all.begin());
    if (at < chain.own) {
      take(certificate);
    } else {
      ++dropped;
    }
  }
  fresh.own = chain.own;
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

}  // namespace postern::pki
