// LoadPair: from two PEM files to a pair that can serve, or to the one sentence that tells the
// administrator what to mend. What a client would refuse (expired, weak) is served with a warning:
// the administrator may have reasons, and no service is worse than a bad one.
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <ctime>

#include "pki/describe.h"
#include "pki/pem_file.h"
#include "postern/pki/certificate.h"

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

Result<Chain> ReadChain(const PemFile& file) {
  Chain chain;
  size_t count = 0;
  for (const PemBlock& block : file.blocks) count += block.IsCertificate() ? 1 : 0;
  if (count == 0) return NoCertificate(file);
  if (count > kMaxChain) {
    return Fail(fmt::format("certificate file {} holds {} certificates, more than {}", file.path,
                            count, kMaxChain),
                "keep the leaf and its intermediates; a bundle of roots does not belong here");
  }
  for (const PemBlock& block : file.blocks) {
    if (!block.IsCertificate()) continue;
    const std::vector<unsigned char>& der = block.der.get();
    const unsigned char* at = der.data();
    X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (certificate == nullptr || at != der.data() + der.size() ||
        X509_get0_pubkey(certificate.get()) == nullptr) {
      std::string why = OpenSslErrors();
      if (why.empty()) why = "octets behind its end";
      return Fail(fmt::format("{} in {} cannot be decoded: {}", Position(chain.der.size(), count),
                              file.path, why),
                  "copy the certificate anew from the authority that issued it");
    }
    chain.certificates.push_back(std::move(certificate));
    chain.der.push_back(der);
  }
  for (size_t i = 1; i < count; ++i) {
    if (chain.der[i] != chain.der[0]) continue;
    return Fail(fmt::format("certificate file {} holds its first certificate ({}) twice, as "
                            "certificate 1 and {}",
                            file.path, Subject(chain.certificates[0].get()), i + 1),
                "delete the second copy; behind the leaf only its intermediates belong");
  }
  return chain;
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

Result<KeyPtr> ReadKey(const PemFile& file) {
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
  if (found->encrypted) {
    return Fail(fmt::format("the private key in {} is encrypted", file.path),
                fmt::format("decrypt it: umask 077; openssl pkey -in {0} -out {0}.plain, then put "
                            "{0}.plain in its place",
                            file.path));
  }
  if (found->label == "OPENSSH PRIVATE KEY") {
    return Fail(fmt::format("key file {} holds an SSH key", file.path),
                "name the key that the certificate was made for");
  }
  const std::vector<unsigned char>& der = found->der.get();
  const unsigned char* at = der.data();
  KeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) {
    return Fail(
        fmt::format("the private key in {} cannot be decoded: {}", file.path, OpenSslErrors()),
        "copy the key anew from where it was made");
  }
  ERR_clear_error();  // the decoders that did not match leave their complaints
  if (Status servable = Servable(key.get(), file.path); !servable) {
    return std::unexpected(servable.error());
  }
  return key;
}

Status Match(const Chain& chain, const EVP_PKEY* key, const std::string& certificate_path,
             const std::string& key_path) {
  const auto belongs = [&](const X509Ptr& certificate) {
    const bool equal = EVP_PKEY_eq(X509_get0_pubkey(certificate.get()), key) == 1;
    ERR_clear_error();
    return equal;
  };
  if (belongs(chain.certificates[0])) return {};
  const EVP_PKEY* expected = X509_get0_pubkey(chain.certificates[0].get());
  std::string what = fmt::format(
      "the key in {} ({}, fingerprint {}) does not belong to the certificate in {} ({}, which is "
      "for a key {}, fingerprint {})",
      key_path, KeyType(key), KeyFingerprint(key), certificate_path,
      Subject(chain.certificates[0].get()), KeyType(expected), KeyFingerprint(expected));
  for (size_t i = 1; i < chain.certificates.size(); ++i) {
    if (!belongs(chain.certificates[i])) continue;
    return Fail(std::move(what), fmt::format("it belongs to certificate {} of that file: put that "
                                             "one first",
                                             i + 1));
  }
  return Fail(std::move(what),
              "name the key that the certificate was made for, or have a certificate issued for "
              "this key");
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
  const int id = EVP_PKEY_get_base_id(key);
  const bool rsa = id == EVP_PKEY_RSA || id == EVP_PKEY_RSA_PSS;
  const int bits = EVP_PKEY_get_bits(key);
  if (!(rsa && bits < 2048) && !(id == EVP_PKEY_EC && bits < 224)) return;
  pair.weaknesses.push_back(
      {fmt::format("the key of the certificate in {} is only {}", path, KeyType(key)),
       "clients and libraries refuse it: make an EC P-256 or RSA 2048 key "
       "and have the certificate issued anew",
       {}});
}

void AddWeakSignatures(Pair& pair, const Chain& chain, const std::string& path) {
  for (size_t i = 0; i < chain.certificates.size(); ++i) {
    X509* certificate = chain.certificates[i].get();
    int digest = NID_undef;
    if (X509_get_signature_info(certificate, &digest, nullptr, nullptr, nullptr) != 1) {
      ERR_clear_error();
      continue;
    }
    if (digest != NID_sha1 && digest != NID_md5) continue;
    // Nobody verifies a self-signed certificate's signature: it is trusted as it is, or not.
    if (X509_self_signed(certificate, 0) == 1) continue;
    pair.weaknesses.push_back(
        {fmt::format("{} in {} ({}) is signed with {}", Position(i, chain.certificates.size()),
                     path, Subject(certificate), digest == NID_sha1 ? "SHA-1" : "MD5"),
         "clients refuse it: have it issued anew with SHA-256",
         {}});
  }
  ERR_clear_error();  // X509_self_signed leaves its complaints about an odd certificate
}

void AddOpenMode(Pair& pair, const PemFile& key_file) {
  // The owner may do anything, the group may read.
  if ((key_file.mode & 0037) == 0) return;
  pair.weaknesses.push_back({fmt::format("key file {} is open to others (mode {:04o})",
                                         key_file.path, key_file.mode & 07777),
                             fmt::format("chmod 600 {}", key_file.path),
                             {}});
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
  // Whoever calls OpenSSL next must not take our complaints for its own.
  const struct ClearErrors {
    ~ClearErrors() { ERR_clear_error(); }
  } clear_errors;
  const Result<PemFile> certificate_file = ReadPemFile(certificate_path, Content::kCertificate);
  if (!certificate_file) return std::unexpected(certificate_file.error());
  const Result<Chain> chain = ReadChain(*certificate_file);
  if (!chain) return std::unexpected(chain.error());
  const Result<PemFile> key_file = ReadPemFile(key_path, Content::kKey);
  if (!key_file) return std::unexpected(key_file.error());
  const Result<KeyPtr> key = ReadKey(*key_file);
  if (!key) return std::unexpected(key.error());
  if (Status match = Match(*chain, key->get(), certificate_path, key_path); !match) {
    return std::unexpected(match.error());
  }
  Result<SecretBytes> key_der = Pkcs8(key->get(), key_path);
  if (!key_der) return std::unexpected(key_der.error());

  Pair pair;
  pair.key_der = std::move(*key_der);
  pair.chain_der = chain->der;
  pair.names = HostNames(chain->certificates[0].get());
  for (const X509Ptr& certificate : chain->certificates) {
    pair.periods.push_back(PeriodOf(certificate.get()));
  }
  pair.not_before = pair.periods[0].not_before;
  pair.not_after = pair.periods[0].not_after;
  pair.key_type = KeyType(key->get());
  pair.key_kind = KindOf(key->get());
  for (const X509Ptr& certificate : chain->certificates) {
    pair.schemes |= SchemeNeeded(certificate.get());
  }
  pair.must_staple = X509_get_ext_by_NID(chain->certificates[0].get(), NID_tlsfeature, -1) >= 0;
  pair.certificate_stamp = certificate_file->stamp;
  pair.key_stamp = key_file->stamp;
  AddWeakKey(pair, key->get(), certificate_path);
  AddWeakSignatures(pair, *chain, certificate_path);
  AddOpenMode(pair, *key_file);
  pair.warnings = pair.weaknesses;
  for (Error& warning : PeriodWarnings(certificate_path, pair.periods, std::time(nullptr))) {
    pair.warnings.push_back(std::move(warning));
  }
  return pair;
}

}  // namespace postern::pki
