// Certificates and keys: read, check against each other, make. Works on libcrypto alone.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/result.h"

namespace postern::pki {

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

// Pair is a certificate chain with the private key of its leaf, matched and usable.
struct Pair {
  std::vector<std::vector<unsigned char>> chain_der;  // leaf first
  SecretBytes key_der;                                // PKCS#8
  std::vector<std::string> names;  // dNSNames, lower case, else the subject's CN; may be empty
  int64_t not_before = 0;          // seconds since 1970
  int64_t not_after = 0;
  std::string key_type;         // "RSA 2048", "EC P-256", "ED25519"
  std::vector<Error> warnings;  // expired, not yet valid, weak: served all the same
};

// LoadPair reads a PEM chain (leaf first, the rest in any order is kept as it stands) and a PEM
// key. Each failure names the file, what is wrong and the remedy: missing, unreadable, not PEM, a
// key where a certificate belongs (and the reverse), an encrypted key, a key that does not belong
// to the leaf, an empty file.
Result<Pair> LoadPair(const std::string& certificate_path, const std::string& key_path);

// PEM texts of a fresh self-signed pair.
struct SelfSigned {
  std::string certificate_pem;
  std::string key_pem;
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
