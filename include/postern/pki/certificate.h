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
#include "postern/pki/file_stamp.h"
#include "postern/pki/passphrase.h"
#include "postern/pki/secret_bytes.h"
#include "postern/pki/signature_schemes.h"
#include "postern/pki/store.h"

namespace postern::pki {

// Bounds on what is read: a chain of 32 certificates with RSA 4096 keys needs some 100 KB of PEM.
inline constexpr size_t kMaxPemFile = 1024 * 1024;
inline constexpr size_t kMaxChain = 32;

struct OpenSslDelete {
  void operator()(X509* p) const { X509_free(p); }
  void operator()(X509_REQ* p) const { X509_REQ_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(BIO* p) const { BIO_free_all(p); }
};
using X509Ptr = std::unique_ptr<X509, OpenSslDelete>;
using RequestPtr = std::unique_ptr<X509_REQ, OpenSslDelete>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslDelete>;
using BioPtr = std::unique_ptr<BIO, OpenSslDelete>;

// OpenSslErrors takes everything from OpenSSL's error queue of this thread as one text; empty when
// the queue is.
std::string OpenSslErrors();

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
  KeyClass key_kind = KeyClass::kOther;
  SchemeSet schemes = 0;     // what a client must verify of the chain
  bool must_staple = false;  // the leaf asks clients to insist on an OCSP response (RFC 7633)
  // A chain out of order, a name that is not ASCII: served all the same.
  std::vector<Error> weaknesses;
  // All of `weaknesses`, and what PeriodWarnings says at the moment of loading.
  std::vector<Error> warnings;
  FileStamp certificate_stamp;
  FileStamp key_stamp;
  FileStamp chain_stamp;  // of no file when there is none
};

// PeriodWarnings says which certificates of a chain have expired or are not yet valid at `now`.
// Apart from LoadPair because a pair that is kept over many reloads expires meanwhile.
std::vector<Error> PeriodWarnings(const std::string& certificate_path,
                                  const std::vector<Period>& periods, int64_t now);

// PairFiles says where a pair is and by which rules it is read.
struct PairFiles {
  std::string certificate;
  std::string key;
  std::string chain;  // more certificates, for behind those of `certificate`; empty: none
  KeyPlace place = KeyPlace::kOwn;
  PassphraseSource passphrase = {};  // for a key that is encrypted
  bool may_ask = false;              // whether there is somebody to type a passphrase
};

// LoadPair reads a PEM chain and a PEM key. The leaf is the certificate that the key belongs to;
// the chain is put in order behind it when it is not (with a warning). Each failure names the file,
// what is wrong and the remedy: missing, unreadable, not PEM, a key where a certificate belongs
// (and the reverse), an encrypted key without passphrase or with a wrong one, a key that belongs to
// none of the certificates, an empty file, DER, a key file that others can read (CheckKeyMode), a
// chain that nobody can be served with (Unservable in judge.h).
// What else stands in the files (a key beside the chain, a chain beside the key, parameters) is
// passed over. Nothing secret is left in freed memory.
//
// Of a pair of the certificate directory (KeyPlace::kStore) whose replacement was cut off, the key
// of before is taken when it is the certificate's (store.h), with a warning.
Result<Pair> LoadPair(const PairFiles& files);
Result<Pair> LoadPair(const std::string& certificate_path, const std::string& key_path);

}  // namespace postern::pki
