// Certificates and keys: read, check against each other, make. Works on libcrypto alone.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/base/result.h"
#include "postern/pki/file_stamp.h"
#include "postern/pki/signature_schemes.h"

namespace postern::pki {

// Bounds on what is read: a chain of 32 certificates with RSA 4096 keys needs some 100 KB of PEM.
inline constexpr size_t kMaxPemFile = 1024 * 1024;
inline constexpr size_t kMaxChain = 32;

struct OpenSslDelete {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(BIO* p) const { BIO_free_all(p); }
};
using X509Ptr = std::unique_ptr<X509, OpenSslDelete>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslDelete>;
using BioPtr = std::unique_ptr<BIO, OpenSslDelete>;

// OpenSslErrors takes everything from OpenSSL's error queue of this thread as one text; empty when
// the queue is.
std::string OpenSslErrors();

// DER octets of a private key; wiped when destroyed.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::vector<unsigned char> bytes) : bytes_(std::move(bytes)) {}
  SecretBytes(SecretBytes&&) noexcept = default;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  ~SecretBytes();
  const std::vector<unsigned char>& get() const { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
};

// Period is the validity of one certificate, in seconds since 1970.
struct Period {
  int64_t not_before = 0;
  int64_t not_after = 0;
};

// Pair is a certificate chain with the private key of its leaf, matched and usable.
struct Pair {
  std::vector<std::vector<unsigned char>> chain_der;  // leaf first
  SecretBytes key_der;                                // PKCS#8
  // dNSNames, lower case, else the subject's CN when it reads as a host name; may be empty.
  std::vector<std::string> names;
  int64_t not_before = 0;  // the leaf's, seconds since 1970
  int64_t not_after = 0;
  std::vector<Period> periods;  // of each certificate in the chain
  std::string key_type;         // "RSA 2048", "EC P-256", "ED25519"
  KeyKind key_kind = KeyKind::kOther;
  SchemeSet schemes = 0;          // what a client must verify of the chain
  bool must_staple = false;       // the leaf asks clients to insist on an OCSP response (RFC 7633)
  std::vector<Error> weaknesses;  // short key, SHA-1, key file open to others: served all the same
  // All of `weaknesses`, and what PeriodWarnings says at the moment of loading.
  std::vector<Error> warnings;
  FileStamp certificate_stamp;
  FileStamp key_stamp;
};

// PeriodWarnings says which certificates of a chain have expired or are not yet valid at `now`.
// Apart from LoadPair because a pair that is kept over many reloads expires meanwhile.
std::vector<Error> PeriodWarnings(const std::string& certificate_path,
                                  const std::vector<Period>& periods, int64_t now);

// LoadPair reads a PEM chain (leaf first, the rest in any order is kept as it stands) and a PEM
// key. Each failure names the file, what is wrong and the remedy: missing, unreadable, not PEM, a
// key where a certificate belongs (and the reverse), an encrypted key, a key that does not belong
// to the leaf, an empty file, DER. What else stands in the files (a key beside the chain, a chain
// beside the key, parameters) is passed over. Nothing secret is left in freed memory.
Result<Pair> LoadPair(const std::string& certificate_path, const std::string& key_path);

// PEM texts of a fresh self-signed pair.
struct SelfSigned {
  SelfSigned() = default;
  SelfSigned(SelfSigned&&) noexcept = default;
  SelfSigned& operator=(SelfSigned&&) = delete;
  ~SelfSigned();

  std::string certificate_pem;
  std::string key_pem;  // wiped when destroyed
};
// MakeSelfSigned makes an ECDSA P-256 certificate for `names` (DNS names or IP addresses; the first
// is the CN), valid from an hour ago for `days`.
Result<SelfSigned> MakeSelfSigned(const std::vector<std::string>& names, int days = 3650);

// InstallSelfSigned writes a fresh self-signed pair as `directory`/default.crt and default.key
// (0600), the directory 0700 when it has to be made. A pair that stood there is kept as
// default.crt.previous and default.key.previous. The names are this host's name, "localhost", and
// 127.0.0.1 and ::1, unless `names` gives others.
Status InstallSelfSigned(const std::string& directory, const std::vector<std::string>& names = {});

}  // namespace postern::pki
