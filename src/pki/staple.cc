// Checking OCSP responses before they are stapled. Clients treat a bad staple worse than none
// (RFC 6961 and browsers abort on one that does not verify), so whatever is doubtful is not sent.
// The file is fetched by others (a timer with `openssl ocsp`, an ACME client's hook): Postern makes
// no connections of its own to strangers' servers.
#include "postern/pki/staple.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <optional>

#include "postern/base/limits.h"
#include "postern/os/unique_fd.h"
#include "postern/pki/certificate.h"
#include "postern/pki/describe.h"

namespace postern::pki {
namespace {

// Responders' clocks and ours differ by a little.
constexpr int64_t kClockSkewS = 300;

struct FreeOcsp {
  void operator()(OCSP_RESPONSE* p) const { OCSP_RESPONSE_free(p); }
  void operator()(OCSP_BASICRESP* p) const { OCSP_BASICRESP_free(p); }
  void operator()(OCSP_CERTID* p) const { OCSP_CERTID_free(p); }
  void operator()(X509_STORE* p) const { X509_STORE_free(p); }
  void operator()(STACK_OF(X509) * p) const { sk_X509_free(p); }  // borrows its certificates
};
using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, FreeOcsp>;
using BasicPtr = std::unique_ptr<OCSP_BASICRESP, FreeOcsp>;
using CertIdPtr = std::unique_ptr<OCSP_CERTID, FreeOcsp>;
using StorePtr = std::unique_ptr<X509_STORE, FreeOcsp>;
using BorrowedPtr = std::unique_ptr<STACK_OF(X509), FreeOcsp>;

constexpr const char* kFetchAnew = "fetch the response anew from the certificate's authority";

std::unexpected<Error> Wrong(const std::string& path, std::string_view what,
                             std::string remedy = kFetchAnew) {
  return Fail(fmt::format("the OCSP response in {} is not stapled: {}", path, what),
              std::move(remedy));
}

Result<std::vector<unsigned char>> ReadAll(int fd, const std::string& path) {
  std::vector<unsigned char> bytes(limits::kMaxStapleFile + 1);
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::read(fd, bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(fmt::format("cannot read the OCSP response {}", path), errno);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  if (have > limits::kMaxStapleFile) {
    return Wrong(path, fmt::format("the file is larger than {} KB", limits::kMaxStapleFile / 1024),
                 "name a file that holds one OCSP response");
  }
  bytes.resize(have);
  return bytes;
}

// The DER of the response, whether the file has it as it is or as PEM.
std::vector<unsigned char> FromPem(const std::vector<unsigned char>& text) {
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  unsigned char* data = nullptr;
  long size = 0;
  char* name = nullptr;
  char* header = nullptr;
  std::vector<unsigned char> der;
  while (bio != nullptr && PEM_read_bio(bio.get(), &name, &header, &data, &size) == 1) {
    if (std::string_view(name) == "OCSP RESPONSE") der.assign(data, data + size);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  ERR_clear_error();
  return der;
}

X509Ptr Parse(Bytes der) {
  const unsigned char* at = AsUnsigned(der);
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

// Leaf and issuer of a chain; `issuer` is null when it is not there.
struct Subjects {
  X509Ptr leaf;
  X509Ptr issuer;
};

Subjects SubjectsOf(const std::vector<Bytes>& chain) {
  Subjects subjects;
  if (chain.empty()) return subjects;
  subjects.leaf = Parse(chain[0]);
  if (subjects.leaf == nullptr) return subjects;
  // The second one when the chain is in order; one in disorder is looked through.
  for (size_t i = 1; i < chain.size() && subjects.issuer == nullptr; ++i) {
    X509Ptr candidate = Parse(chain[i]);
    if (candidate == nullptr) continue;
    if (X509_NAME_cmp(X509_get_subject_name(candidate.get()),
                      X509_get_issuer_name(subjects.leaf.get())) == 0 &&
        X509_verify(subjects.leaf.get(), X509_get0_pubkey(candidate.get())) == 1) {
      subjects.issuer = std::move(candidate);
    }
  }
  if (subjects.issuer == nullptr && X509_self_signed(subjects.leaf.get(), 0) == 1) {
    subjects.issuer = Parse(chain[0]);
  }
  return subjects;
}

// What the response says of the leaf, or null. Responders name a certificate by hashes of their own
// choice of digest.
OCSP_SINGLERESP* FindSingle(OCSP_BASICRESP* basic, const Subjects& subjects) {
  for (int i = 0; i < OCSP_resp_count(basic); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic, i);
    auto* id = const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single));
    ASN1_OBJECT* digest = nullptr;
    if (OCSP_id_get0_info(nullptr, &digest, nullptr, nullptr, id) != 1) continue;
    const EVP_MD* known = EVP_get_digestbyobj(digest);
    if (known == nullptr) continue;
    const CertIdPtr wanted(OCSP_cert_to_id(known, subjects.leaf.get(), subjects.issuer.get()));
    if (wanted != nullptr && OCSP_id_cmp(wanted.get(), id) == 0) return single;
  }
  return nullptr;
}

// RFC 6960 section 4.2.2.2: signed by the issuer, or by a responder whose certificate the issuer
// has signed and marked for it.
bool IsSigned(OCSP_BASICRESP* basic, X509* issuer) {
  const StorePtr store(X509_STORE_new());
  const BorrowedPtr issuers(sk_X509_new_null());
  if (store == nullptr || issuers == nullptr || X509_STORE_add_cert(store.get(), issuer) != 1 ||
      sk_X509_push(issuers.get(), issuer) <= 0) {
    return false;
  }
  // The issuer is as good as a root here: it is he whom clients follow.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  return OCSP_basic_verify(basic, issuers.get(), store.get(), 0) == 1;
}

std::optional<int64_t> Seconds(const ASN1_GENERALIZEDTIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return ::timegm(&parts);
}

Result<Staple> Judge(const std::string& path, OCSP_RESPONSE* response,
                     const std::vector<Bytes>& chain, int64_t now) {
  const int status = OCSP_response_status(response);
  if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return Wrong(path, fmt::format("it is the responder's refusal \"{}\"",
                                   OCSP_response_status_str(status)));
  }
  const BasicPtr basic(OCSP_response_get1_basic(response));
  if (basic == nullptr) return Wrong(path, "it is of a type that is not known");
  const Subjects subjects = SubjectsOf(chain);
  if (subjects.issuer == nullptr) {
    return Wrong(path, "the issuer of the certificate is not in the chain, so it cannot be checked",
                 "put the intermediate certificate behind the leaf in the certificate's file");
  }
  OCSP_SINGLERESP* single = FindSingle(basic.get(), subjects);
  if (single == nullptr) {
    return Wrong(
        path, fmt::format("it is not about this certificate ({})", Subject(subjects.leaf.get())));
  }
  if (!IsSigned(basic.get(), subjects.issuer.get())) {
    return Wrong(path, fmt::format("its signature is not that of {}: {}",
                                   Subject(subjects.issuer.get()), OpenSslErrors()));
  }
  int reason = 0;
  ASN1_GENERALIZEDTIME* revoked = nullptr;
  ASN1_GENERALIZEDTIME* this_update = nullptr;
  ASN1_GENERALIZEDTIME* next_update = nullptr;
  const int said = OCSP_single_get0_status(single, &reason, &revoked, &this_update, &next_update);
  if (said != V_OCSP_CERTSTATUS_GOOD) {
    return Wrong(path,
                 said == V_OCSP_CERTSTATUS_REVOKED
                     ? "it says that the certificate is revoked"
                     : "it says that the certificate is not known to the responder",
                 said == V_OCSP_CERTSTATUS_REVOKED ? "have a new certificate issued"
                                                   : std::string(kFetchAnew));
  }
  const std::optional<int64_t> from = Seconds(this_update);
  const std::optional<int64_t> until = Seconds(next_update);
  if (!from) return Wrong(path, "its time cannot be read");
  // RFC 6960 section 2.4 lets responders leave it out; then nobody can tell a fresh response from
  // one that was good a year ago.
  if (!until) return Wrong(path, "it does not say until when it holds (nextUpdate)");
  if (*from > now + kClockSkewS) {
    return Wrong(path, fmt::format("it does not hold before {}", TimeText(*from)),
                 fmt::format("look at this machine's clock ({} now), or wait", TimeText(now)));
  }
  if (*until <= now) {
    return Wrong(path, fmt::format("it has been out of date since {}", TimeText(*until)));
  }
  Staple staple;
  staple.this_update = *from;
  staple.good_until = *until;
  return staple;
}

}  // namespace

Result<Staple> LoadStaple(const std::string& path, const std::vector<Bytes>& chain, int64_t now) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) {
    return FailErrno(fmt::format("cannot read the OCSP response {}", path), errno,
                     "put the file there, or correct the path");
  }
  if (!S_ISREG(status.st_mode)) return Wrong(path, "it is no file", "correct the path");
  const FileStamp stamp = MakeStamp(status);
  Result<std::vector<unsigned char>> octets = ReadAll(fd.get(), path);
  if (!octets) return std::unexpected(octets.error());
  Result<Staple> staple = DecodeStaple(std::move(*octets), path, chain, now);
  if (staple) staple->stamp = stamp;
  return staple;
}

Result<Staple> DecodeStaple(std::vector<unsigned char> octets, const std::string& path,
                            const std::vector<Bytes>& chain, int64_t now) {
  const struct ClearErrors {
    ~ClearErrors() { ERR_clear_error(); }
  } clear_errors;
  if (!octets.empty() && octets.front() != 0x30) octets = FromPem(octets);
  const unsigned char* at = octets.data();
  const ResponsePtr response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(octets.size())));
  if (response == nullptr || at != octets.data() + octets.size()) {
    return Wrong(path, "the file holds no OCSP response, neither DER nor PEM");
  }
  Result<Staple> staple = Judge(path, response.get(), chain, now);
  if (staple) staple->response = std::move(octets);
  return staple;
}

}  // namespace postern::pki
