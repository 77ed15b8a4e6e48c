// Self-signed pairs: what a fresh install serves on. ECDSA P-256 is small, quick and known to every
// client that speaks TLS 1.2.
//
// Extensions: subjectAltName, basicConstraints CA:FALSE (Firefox refuses a CA certificate as a
// server's), extendedKeyUsage serverAuth, subjectKeyIdentifier. No keyUsage on purpose: a
// self-signed certificate without keyCertSign is no issuer of itself to older OpenSSLs, so that
// even an administrator who trusts it by file could not; with keyCertSign others balk at CA:FALSE.
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "postern/base/limits.h"
#include "postern/os/files.h"
#include "postern/pki/certificate.h"

namespace postern::pki {
namespace {

// RFC 5280 appendix A.1: ub-common-name.
constexpr size_t kMaxCommonName = 64;

struct AlternativeNamesDelete {
  void operator()(GENERAL_NAMES* p) const { GENERAL_NAMES_free(p); }
};
using AlternativeNames = std::unique_ptr<GENERAL_NAMES, AlternativeNamesDelete>;

std::unexpected<Error> OpenSslFailed() {
  return Fail("cannot make a self-signed certificate: " + OpenSslErrors());
}

bool IsHostName(std::string_view name) {
  if (name.empty() || name.size() > limits::kMaxHostName) return false;
  if (name.starts_with("*.")) name.remove_prefix(2);
  for (const char c : name) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.' || c == '_';
    if (!fine) return false;
  }
  return !name.empty();
}

Status AddAlternativeName(GENERAL_NAMES* names, const std::string& name) {
  int type = GEN_IPADD;
  ASN1_STRING* value = a2i_IPADDRESS(name.c_str());
  ERR_clear_error();
  if (value == nullptr) {
    if (!IsHostName(name)) {
      return Fail(fmt::format("\"{}\" is neither a host name nor an IP address", name),
                  "give names as mail.example.com or 192.0.2.1; write internationalized names in "
                  "their xn-- form");
    }
    type = GEN_DNS;
    value = ASN1_IA5STRING_new();
    if (value == nullptr || ASN1_STRING_set(value, name.data(), static_cast<int>(name.size())) != 1)
      return OpenSslFailed();
  }
  GENERAL_NAME* entry = GENERAL_NAME_new();
  if (entry == nullptr) return OpenSslFailed();
  GENERAL_NAME_set0_value(entry, type, value);
  if (sk_GENERAL_NAME_push(names, entry) <= 0) return OpenSslFailed();
  return {};
}

bool AddExtension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  const bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// RFC 5280 section 4.1.2.2: positive, at most 20 octets; 127 random bits are unique enough.
bool SetSerial(X509* certificate) {
  unsigned char octets[16];
  if (RAND_bytes(octets, sizeof octets) != 1) return false;
  octets[0] = static_cast<unsigned char>((octets[0] & 0x7F) | 0x40);
  BIGNUM* number = BN_bin2bn(octets, sizeof octets, nullptr);
  const bool set = number != nullptr &&
                   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

bool SetSubject(X509* certificate, const std::string& name) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const std::string& shown = name.size() <= kMaxCommonName ? name : std::string("postern");
  return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(shown.data()),
                                    static_cast<int>(shown.size()), -1, 0) == 1 &&
         X509_set_issuer_name(certificate, subject) == 1;
}

Result<X509Ptr> MakeCertificate(const std::vector<std::string>& names, int days, EVP_PKEY* key) {
  const AlternativeNames alternatives(sk_GENERAL_NAME_new_null());
  for (const std::string& name : names) {
    if (Status added = AddAlternativeName(alternatives.get(), name); !added) {
      return std::unexpected(added.error());
    }
  }
  X509Ptr certificate(X509_new());
  X509* x = certificate.get();
  const bool made = x != nullptr && X509_set_version(x, X509_VERSION_3) == 1 && SetSerial(x) &&
                    // An hour ago, for clients whose clocks are behind.
                    X509_gmtime_adj(X509_getm_notBefore(x), -3600) != nullptr &&
                    X509_time_adj_ex(X509_getm_notAfter(x), days, 0, nullptr) != nullptr &&
                    SetSubject(x, names.front()) && X509_set_pubkey(x, key) == 1 &&
                    AddExtension(x, NID_basic_constraints, "critical,CA:FALSE") &&
                    AddExtension(x, NID_ext_key_usage, "serverAuth") &&
                    AddExtension(x, NID_subject_key_identifier, "hash") &&
                    X509_add1_ext_i2d(x, NID_subject_alt_name, alternatives.get(), 0, 0) == 1 &&
                    X509_sign(x, key, EVP_sha256()) > 0;
  if (!made) return OpenSslFailed();
  return certificate;
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

// KeepPrevious makes `path`.previous another name of the file at `path`, so that `path` itself is
// there all the time. Nothing to do when there is no such file.
Status KeepPrevious(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return {};
  const std::string previous = path + ".previous";
  const std::string temporary = previous + ".new";
  ::unlink(temporary.c_str());
  const bool kept = ::link(path.c_str(), temporary.c_str()) == 0
                        ? ::rename(temporary.c_str(), previous.c_str()) == 0
                        // A file system without hard links.
                        : ::rename(path.c_str(), previous.c_str()) == 0;
  const int error_number = errno;
  ::unlink(temporary.c_str());
  if (kept) return {};
  return FailErrno(fmt::format("cannot keep {} as {}", path, previous), error_number);
}

std::vector<std::string> NamesOfThisHost() {
  std::vector<std::string> names;
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0 && IsHostName(host) &&
      std::string_view(host) != "localhost") {
    names.emplace_back(host);
  }
  names.insert(names.end(), {"localhost", "127.0.0.1", "::1"});
  return names;
}

}  // namespace

SelfSigned::~SelfSigned() {
  if (!key_pem.empty()) OPENSSL_cleanse(key_pem.data(), key_pem.size());
}

Result<SelfSigned> MakeSelfSigned(const std::vector<std::string>& names, int days) {
  if (names.empty()) return Fail("a self-signed certificate needs a name", "give one or more");
  if (days < 1) return Fail("a self-signed certificate must be valid for a day or longer");
  ERR_clear_error();
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslFailed();
  const Result<X509Ptr> certificate = MakeCertificate(names, days, key.get());
  if (!certificate) return std::unexpected(certificate.error());
  const BioPtr certificate_text(BIO_new(BIO_s_mem()));
  const BioPtr key_text(BIO_new(BIO_s_secmem()));  // wiped when it grows and when it goes
  if (certificate_text == nullptr || key_text == nullptr ||
      PEM_write_bio_X509(certificate_text.get(), certificate->get()) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) != 1) {
    return OpenSslFailed();
  }
  SelfSigned pair;
  pair.certificate_pem = Text(certificate_text.get());
  pair.key_pem = Text(key_text.get());
  return pair;
}

Status InstallSelfSigned(const std::string& directory, const std::vector<std::string>& names) {
  const Result<SelfSigned> pair = MakeSelfSigned(names.empty() ? NamesOfThisHost() : names);
  if (!pair) return std::unexpected(pair.error());
  if (Status made = os::MakeDirectories(directory, 0700); !made) return made;
  const std::string certificate = directory + "/default.crt";
  const std::string key = directory + "/default.key";
  if (Status kept = KeepPrevious(certificate); !kept) return kept;
  if (Status kept = KeepPrevious(key); !kept) return kept;
  if (Status written = os::WriteFileAtomically(key, pair->key_pem, 0600); !written) return written;
  Status written = os::WriteFileAtomically(certificate, pair->certificate_pem, 0644);
  // The old certificate with the new key would serve nobody: put the old key back.
  if (!written) ::rename((key + ".previous").c_str(), key.c_str());
  return written;
}

}  // namespace postern::pki
