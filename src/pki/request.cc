// Requests. The names go into the subjectAltName, which is what authorities and clients look at;
// the subject is for authorities that want to see who asks.
#include "postern/pki/request.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "pki/names.h"
#include "postern/base/limits.h"

namespace postern::pki {
namespace {

// RFC 5280 appendix A.1.
struct Field {
  std::string RequestSubject::*value;
  int nid;
  const char* noun;
  int longest;
};
constexpr std::array<Field, 7> kFields = {{
    {&RequestSubject::country, NID_countryName, "country", 2},
    {&RequestSubject::state, NID_stateOrProvinceName, "state", 128},
    {&RequestSubject::locality, NID_localityName, "locality", 128},
    {&RequestSubject::organization, NID_organizationName, "organization", 64},
    {&RequestSubject::unit, NID_organizationalUnitName, "unit", 64},
    {&RequestSubject::common_name, NID_commonName, "common name", 64},
    {&RequestSubject::email, NID_pkcs9_emailAddress, "email address", 255},
}};
constexpr size_t kMaxCommonName = 64;

std::unexpected<Error> CannotMake(std::string_view what) {
  return Fail(fmt::format("cannot make {}: {}", what, OpenSslErrors()));
}

Status CheckCountry(const std::string& country) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  if (country.empty() || (country.size() == 2 && std::ranges::all_of(country, letter))) return {};
  return Fail(fmt::format("\"{}\" is no country of two letters", country),
              "give its code, like DE, FR or US (ISO 3166)");
}

// RFC 5280 section 4.1.2.6 has it as an IA5String, RFC 5321 section 4.1.2 as Local-part@Domain.
Status CheckEmail(const std::string& email) {
  const size_t at = email.rfind('@');
  const auto fits = [](char c) { return c > 0x20 && c < 0x7F; };
  if (email.empty() || (at != std::string::npos && at > 0 && std::ranges::all_of(email, fits) &&
                        IsHostName(std::string_view(email).substr(at + 1)))) {
    return {};
  }
  return Fail(fmt::format("\"{}\" is no e-mail address", email),
              "give one like postmaster@example.com");
}

Status SetSubject(X509_REQ* request, RequestSubject subject,
                  const std::vector<std::string>& names) {
  if (Status fine = CheckCountry(subject.country); !fine) return fine;
  if (Status fine = CheckEmail(subject.email); !fine) return fine;
  std::ranges::transform(subject.country, subject.country.begin(),
                         [](char c) { return static_cast<char>(c & ~0x20); });
  if (subject.common_name.empty()) {
    const auto first = std::ranges::find_if(names, [](const std::string& name) {
      return IsHostName(name) && name.size() <= kMaxCommonName;
    });
    if (first != names.end()) subject.common_name = *first;
  }
  X509_NAME* name = X509_REQ_get_subject_name(request);
  for (const Field& field : kFields) {
    const std::string& value = subject.*field.value;
    if (value.empty()) continue;
    if (X509_NAME_add_entry_by_NID(name, field.nid, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(value.data()),
                                   static_cast<int>(value.size()), -1, 0) == 1) {
      continue;
    }
    ERR_clear_error();
    return Fail(fmt::format("\"{}\" cannot be the {} of a certificate", value, field.noun),
                fmt::format("give UTF-8 text of at most {} characters", field.longest));
  }
  return {};
}

bool AddNames(X509_REQ* request, GENERAL_NAMES* names) {
  if (sk_GENERAL_NAME_num(names) == 0) return true;
  STACK_OF(X509_EXTENSION)* extensions = nullptr;
  const bool added =
      X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
      X509_REQ_add_extensions(request, extensions) == 1;
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  return added;
}

bool SignsByItself(const EVP_PKEY* key) {
  const int id = EVP_PKEY_get_base_id(key);
  return id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448;
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

}  // namespace

Status CheckRequestNames(const std::vector<std::string>& names) {
  const Result<AlternativeNamesPtr> made = MakeAlternativeNames(names);
  return made ? Status() : std::unexpected(made.error());
}

const std::vector<std::string>& KeyKindNames() {
  static const std::vector<std::string> names = {"rsa2048", "rsa3072", "rsa4096",
                                                 "p256",    "p384",    "ed25519"};
  return names;
}

Result<KeyKind> ParseKeyKind(std::string_view name) {
  const std::vector<std::string>& names = KeyKindNames();
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return static_cast<KeyKind>(found - names.begin());
  return Fail(fmt::format("\"{}\" is no kind of key", name),
              fmt::format("choose one of {}", fmt::join(names, ", ")));
}

Result<KeyPtr> MakeKey(KeyKind kind) {
  ERR_clear_error();
  KeyPtr key;
  switch (kind) {
    case KeyKind::kRsa2048:
      key.reset(EVP_RSA_gen(2048));
      break;
    case KeyKind::kRsa3072:
      key.reset(EVP_RSA_gen(3072));
      break;
    case KeyKind::kRsa4096:
      key.reset(EVP_RSA_gen(4096));
      break;
    case KeyKind::kP256:
      key.reset(EVP_EC_gen("P-256"));
      break;
    case KeyKind::kP384:
      key.reset(EVP_EC_gen("P-384"));
      break;
    case KeyKind::kEd25519:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
      break;
  }
  if (key == nullptr) return CannotMake("a key");
  return key;
}

Result<std::string> MakeRequest(const RequestSpec& spec, EVP_PKEY* key) {
  ERR_clear_error();
  if (spec.names.empty()) {
    return Fail("a certificate request needs a name", "give one or more: mail.example.com");
  }
  const Result<AlternativeNamesPtr> names = MakeAlternativeNames(spec.names);
  if (!names) return std::unexpected(names.error());
  const RequestPtr request(X509_REQ_new());
  if (request == nullptr) return CannotMake("a certificate request");
  if (Status set = SetSubject(request.get(), spec.subject, spec.names); !set) {
    return std::unexpected(set.error());
  }
  const BioPtr text(BIO_new(BIO_s_mem()));
  const bool made =
      X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
      X509_REQ_set_pubkey(request.get(), key) == 1 && AddNames(request.get(), names->get()) &&
      X509_REQ_sign(request.get(), key, SignsByItself(key) ? nullptr : EVP_sha256()) > 0 &&
      text != nullptr && PEM_write_bio_X509_REQ(text.get(), request.get()) == 1;
  if (!made) return CannotMake("a certificate request");
  return Text(text.get());
}

Result<std::string> CertificatePem(X509* certificate) {
  const BioPtr text(BIO_new(BIO_s_mem()));
  if (text == nullptr || PEM_write_bio_X509(text.get(), certificate) != 1) {
    return CannotMake("the text of a certificate");
  }
  return Text(text.get());
}

Result<SecretBytes> KeyPem(EVP_PKEY* key, const SecretBytes* passphrase) {
  const BioPtr text(BIO_new(BIO_s_secmem()));  // wiped when it grows and when it goes
  const bool written =
      text != nullptr && PEM_write_bio_PKCS8PrivateKey(
                             text.get(), key, passphrase != nullptr ? EVP_aes_256_cbc() : nullptr,
                             passphrase != nullptr ? passphrase->text().data() : nullptr,
                             passphrase != nullptr ? static_cast<int>(passphrase->get().size()) : 0,
                             nullptr, nullptr) == 1;
  if (!written) return CannotMake("the text of a key");
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return SecretBytes(std::vector<unsigned char>(data, data + size));
}

bool RequestIsWhole(X509_REQ* request) {
  const bool whole = X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1;
  ERR_clear_error();
  return whole;
}

}  // namespace postern::pki
