// The certificate that the server showed and what was expected of it, put into one clause with the
// key that would change it.
#include "tls/explain_server.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include <algorithm>
#include <string>
#include <vector>

#include "postern/pki/describe.h"
#include "tls/names.h"
#include "tls/openssl_error.h"
#include "tls/peer_certificate.h"

namespace postern::tls {
namespace {

constexpr size_t kMostNames = 4;
constexpr size_t kLongestName = 80;

std::string Subject(const X509* certificate) {
  const std::string subject = SubjectText(certificate);
  return subject.empty() ? "without subject" : subject;
}

// "mail.example.com, imap.example.com and 3 more"; what is in a certificate may be of any length.
std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMostNames); ++i) {
    text += (i == 0 ? "" : ", ") + names[i].substr(0, kLongestName);
  }
  if (names.size() > kMostNames) text += fmt::format(" and {} more", names.size() - kMostNames);
  return text;
}

// Whatever else is wrong: whether it is at all the server that was meant.
std::string NamesText(const FailedServerHandshake& failed) {
  const std::vector<std::string> names = pki::AlternativeNames(failed.verification.leaf.get());
  return fmt::format(" (it is for {}; {} was expected)", names.empty() ? "no host" : Listed(names),
                     failed.expected);
}

Explanation NameMismatch(const FailedServerHandshake& failed) {
  const std::vector<std::string> names = pki::AlternativeNames(failed.verification.leaf.get());
  if (names.empty()) {
    return {
        HandshakeFailure::kServerNameMismatch,
        fmt::format("the server's certificate ({}) names no host in its subjectAltName, where {} "
                    "was expected; have it issued anew, the subject does not count",
                    Subject(failed.verification.leaf.get()), failed.expected)};
  }
  const auto usable = std::ranges::find_if(names, [](const std::string& name) {
    return !name.contains('*') && !name.contains('@') && name.size() <= kLongestName;
  });
  return {HandshakeFailure::kServerNameMismatch,
          fmt::format(
              "the server's certificate is for {}, not for {}{}", Listed(names), failed.expected,
              usable == names.end()
                  ? ""
                  : fmt::format("; if it is the right server, write tls_name = \"{}\"", *usable))};
}

// The validity of the certificate that is at fault, which may be an authority's.
std::string PeriodText(const FailedVerification& verification, bool expired) {
  const X509* at = verification.at != nullptr ? verification.at.get() : verification.leaf.get();
  const pki::Period period = pki::PeriodOf(at);
  const std::string when =
      expired ? fmt::format("expired at {}", pki::TimeText(period.not_after))
              : fmt::format("is not valid before {}: is this machine's clock right?",
                            pki::TimeText(period.not_before));
  if (X509_cmp(at, verification.leaf.get()) == 0) return when;
  return fmt::format("is from an authority ({}) that {}", Subject(at), when);
}

std::string UnknownAuthority(const FailedVerification& verification) {
  const X509* at = verification.at != nullptr ? verification.at.get() : verification.leaf.get();
  return fmt::format(
      "is from an authority ({}) that is not trusted; if it shall be, name a file "
      "with its certificate in tls_ca",
      IssuerText(at));
}

std::string VerifyText(const FailedVerification& verification) {
  switch (verification.error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return UnknownAuthority(verification);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "is self-signed and not trusted; if it is the right server, name a file with this "
             "certificate in tls_ca";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return PeriodText(verification, true);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return PeriodText(verification, false);
    case X509_V_ERR_CERT_REVOKED:
      return "is revoked";
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return "has too many authorities above it";
    case X509_V_ERR_INVALID_PURPOSE:
      return "is not meant for TLS servers (its key usage, or its authority's)";
    case X509_V_ERR_INVALID_CA:
      return "is from a certificate that is no authority's";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
      return "has a key that is too short, or its authority has";
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return "is signed with SHA-1 or MD5, or its authority is";
    default:
      return fmt::format("is refused: {}", X509_verify_cert_error_string(verification.error));
  }
}

Explanation CertificateRefused(const FailedServerHandshake& failed) {
  const FailedVerification& verification = failed.verification;
  if (verification.leaf == nullptr) {
    return {HandshakeFailure::kServerCertificateRefused,
            fmt::format("the server's certificate is refused: {}",
                        X509_verify_cert_error_string(verification.error))};
  }
  if (verification.error == X509_V_ERR_HOSTNAME_MISMATCH ||
      verification.error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return NameMismatch(failed);
  }
  return {HandshakeFailure::kServerCertificateRefused,
          fmt::format("the server's certificate ({}) {}{}", Subject(verification.leaf.get()),
                      VerifyText(verification), NamesText(failed))};
}

// What an alert means to whoever has configured the back end.
std::string AlertMeaning(int alert, const FailedServerHandshake& failed) {
  switch (alert) {
    case SSL_AD_PROTOCOL_VERSION:
      return fmt::format(": it speaks no version from tls_min_version = \"{}\" on",
                         VersionName(failed.backend.min_version));
    case SSL_AD_HANDSHAKE_FAILURE:
      return failed.backend.certificate
                 ? ": it takes none of our suites, or refuses our certificate"
                 : ": it takes none of our suites, or wants a certificate (tls_certificate)";
    case SSL_AD_UNRECOGNIZED_NAME:
      return fmt::format(": it has no certificate for {} (tls_name)", failed.expected);
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_ACCESS_DENIED:
      return failed.backend.certificate ? ": it refuses our certificate (tls_certificate)"
                                        : ": it wants a certificate (tls_certificate)";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return ": to it our certificate (tls_certificate) is expired";
    case SSL_AD_CERTIFICATE_REVOKED:
      return ": to it our certificate (tls_certificate) is revoked";
    default:
      return {};
  }
}

Explanation PeerAlert(int alert, const FailedServerHandshake& failed) {
  return {HandshakeFailure::kPeerAlert,
          AlertPhrase(Peer::kServer, alert) + AlertMeaning(alert, failed)};
}

Explanation NoVersion(const FailedServerHandshake& failed) {
  const BackendContext& backend = failed.backend;
  std::string chosen = "an older version";
  std::string remedy;
  if (failed.beginning.size() == kServerHelloVersionEnd) {
    const auto version = static_cast<uint16_t>(
        std::to_integer<unsigned>(failed.beginning[kServerHelloVersionEnd - 2]) << 8 |
        std::to_integer<unsigned>(failed.beginning[kServerHelloVersionEnd - 1]));
    chosen = VersionName(version);
    if (version >= TLS1_VERSION && version < backend.min_version) {
      remedy = fmt::format("; tls_min_version = \"{}\" would take it", chosen);
    }
  }
  return {HandshakeFailure::kNoSharedVersion,
          fmt::format("the server chose {}, this back end wants {} or newer{}", chosen,
                      VersionName(backend.min_version), remedy)};
}

}  // namespace

Explanation ExplainServer(SSL* ssl, const FailedServerHandshake& failed) {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const std::string text = TakeOpensslError();
  // Alerts are reasons from 1,000 on; far above are those common to all of OpenSSL.
  if (reason >= SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
    return PeerAlert(reason - SSL_AD_REASON_OFFSET, failed);
  }
  if (code == 0 && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0) {
    return PeerAlert(SSL_AD_CLOSE_NOTIFY, failed);
  }
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return CertificateRefused(failed);
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_WRONG_SSL_VERSION:
      return NoVersion(failed);
    case SSL_R_DH_KEY_TOO_SMALL:
      return {HandshakeFailure::kProtocol, "the server's Diffie-Hellman group is too small"};
    default:
      return {HandshakeFailure::kProtocol,
              "what the server sent is not TLS as it has to be: " + text};
  }
}

}  // namespace postern::tls
