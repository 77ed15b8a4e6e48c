// OpenSSL's reason, the client's offer and our settings put into one clause.
//
// libssl's reasons are where it noticed, not what was wrong: TLS 1.2 clients whose groups do not
// suit get "no shared cipher". So where the reason is of that kind, the lists are compared here.
#include "tls/explain.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include <algorithm>

#include "postern/tls/policy.h"
#include "tls/admission.h"
#include "tls/alpn.h"
#include "tls/names.h"
#include "tls/openssl_error.h"

namespace postern::tls {
namespace {

std::string OurVersions(SSL* ssl) {
  const long least = SSL_get_min_proto_version(ssl);
  const long best = SSL_get_max_proto_version(ssl);
  std::string text;
  for (long version = least; version <= best; ++version) {
    text += (version == least ? "" : " or ") + VersionName(static_cast<uint16_t>(version));
  }
  return text;
}

std::string OurGroups(const std::vector<uint16_t>& groups) {
  std::string text;
  for (const uint16_t group : groups) {
    text += (text.empty() ? "" : " or ") + std::string(GroupName(group));
  }
  return text;
}

bool SharesGroup(const ClientOffer& offer, const std::vector<uint16_t>& groups) {
  return std::ranges::any_of(groups, [&](uint16_t group) { return offer.OffersGroup(group); });
}

bool SharesCipher(SSL* ssl, const ClientOffer& offer) {
  const STACK_OF(SSL_CIPHER)* ciphers = SSL_get_ciphers(ssl);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); ++i) {
    if (offer.OffersCipher(SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(ciphers, i)))) {
      return true;
    }
  }
  return false;
}

// Newer than SSLv3, which no library that Postern runs with has, and no policy can name.
bool OffersTls(const ClientOffer& offer) {
  return offer.versions.empty() ||
         std::ranges::any_of(offer.versions, [](uint16_t v) { return v > SSL3_VERSION; });
}

Explanation NoVersion(SSL* ssl, const FailedHandshake& failed) {
  return {HandshakeFailure::kNoSharedVersion,
          fmt::format("the client offers {}, this listener wants {}{}",
                      DescribeVersions(failed.offer), OurVersions(ssl),
                      OffersTls(failed.offer) ? HowToAdmit(failed.offer, failed.key_kinds)
                                              : "; no policy can admit SSLv3")};
}

Explanation NoGroup(const FailedHandshake& failed) {
  return {HandshakeFailure::kNoSharedGroup,
          fmt::format("the client offers the key exchange groups {}, this listener wants {}{}",
                      DescribeGroups(failed.offer), OurGroups(failed.policy.groups),
                      HowToAdmitGroups(failed.offer))};
}

Signing SigningOf(SSL* ssl, const FailedHandshake& failed) {
  const bool tls13 = SSL_version(ssl) == TLS1_3_VERSION;
  return {.tls13 = tls13,
          .sha1 = !tls13 && SSL_get_security_level(ssl) == 0,
          .allowed = failed.policy.signature_algorithms,
          .key_kinds = failed.key_kinds};
}

Explanation NoSignature(SSL* ssl, const FailedHandshake& failed) {
  const Signing signing = SigningOf(ssl, failed);
  return {HandshakeFailure::kNoSharedCipher,
          fmt::format("the client offers the signature algorithms {}, this listener has {}{}",
                      DescribeSignatures(failed.offer), UsableSchemes(signing),
                      HowToAdmitSignatures(signing, failed.offer))};
}

Explanation NoCipher(SSL* ssl, const FailedHandshake& failed) {
  const ClientOffer& offer = failed.offer;
  if (!SharesCipher(ssl, offer)) {
    const std::string hint = HowToAdmit(offer, failed.key_kinds);
    return {
        HandshakeFailure::kNoSharedCipher,
        fmt::format("the client offers the suites {}, none of which this listener accepts{}",
                    DescribeCiphers(ssl, offer), hint.empty() ? WhyNoneServes(ssl, offer) : hint)};
  }
  // RFC 8422 section 4: a client that names no groups takes any.
  if (!offer.groups.empty() && !SharesGroup(offer, failed.policy.groups)) return NoGroup(failed);
  // libssl passes over a certificate that it could not sign with, and finds no suite then.
  if (KeySuitsSharedSuite(ssl, offer, failed.key_kinds)) {
    const Signing signing = SigningOf(ssl, failed);
    if (!offer.signatures.empty() && !AnyUsable(signing, offer.signatures)) {
      return NoSignature(ssl, failed);
    }
    // RFC 8422 section 5.1: the groups are the curves of certificates, too.
    return {HandshakeFailure::kNoSharedCipher,
            fmt::format("the client offers the groups {}, without the curve of the certificate's "
                        "key{}",
                        DescribeGroups(offer), CurveThatWouldServe(offer))};
  }
  return {
      HandshakeFailure::kNoSharedCipher,
      fmt::format("the client offers the suites {}, none of which suits the key of the "
                  "certificate{}",
                  DescribeCiphers(ssl, offer), KeyThatWouldServe(ssl, offer, failed.key_kinds))};
}

Explanation NoProtocol(const FailedHandshake& failed) {
  return {HandshakeFailure::kNoApplicationProtocol,
          fmt::format("the client asks for the protocol {} (ALPN), this listener serves {}",
                      DescribeProtocols(failed.offer), AlpnServed(failed.service))};
}

// Why OpenSSL refuses a client's certificate, and what is to be done about it.
std::string VerifyText(const FailedHandshake& failed) {
  switch (failed.verify_error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return fmt::format("is from an authority ({}) that is not in client_ca",
                         failed.client_issuer);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "is self-signed, and not in client_ca";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "has expired, or an authority of its chain has";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "is not valid yet: is this machine's clock right?";
    case X509_V_ERR_CERT_REVOKED:
      return "is revoked";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return "cannot be checked: client_crl has no revocation list of one of its authorities";
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return "cannot be checked: the revocation list is out of date; fetch the new one, and reload";
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return "has more authorities above it than client_depth allows";
    case X509_V_ERR_INVALID_PURPOSE:
      return "is not meant for TLS clients (its key usage, or its authority's)";
    default:
      return fmt::format("is refused: {}", X509_verify_cert_error_string(failed.verify_error));
  }
}

Explanation ClientRefused(const FailedHandshake& failed) {
  return {HandshakeFailure::kClientCertificateRefused,
          fmt::format("the client's certificate ({}) {}", failed.client, VerifyText(failed))};
}

// RFC 8446 section 4.4.2: an empty certificate list is how a client says that it has none.
Explanation ClientMissing() {
  return {HandshakeFailure::kClientCertificateMissing,
          "the client sent no certificate, which this listener requires; client_certificates = "
          "\"optional\" would admit it"};
}

// What the alerts that clients send for certificates mean to the one who serves them.
std::string_view AlertMeaning(int alert) {
  switch (alert) {
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return ": it does not trust the certificate";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return ": it refuses the certificate";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return ": to it the certificate is expired";
    case SSL_AD_USER_CANCELLED:
    case SSL_AD_CLOSE_NOTIFY:
      return ": it gave up";
    default:
      return "";
  }
}

// What may be behind a client's distrust, as far as it can be told from here.
std::string_view ChainFlaw(SSL* ssl) {
  const X509* leaf = SSL_get_certificate(ssl);
  if (leaf == nullptr) return "";
  if (X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0) {
    return ", which is self-signed";
  }
  STACK_OF(X509)* chain = nullptr;
  if (SSL_get0_chain_certs(ssl, &chain) == 1 && sk_X509_num(chain) > 0) return "";
  return ", which is sent alone: it needs those of its intermediate authorities, if it has any";
}

Explanation PeerAlert(SSL* ssl, int alert) {
  const std::string_view name = AlertName(alert);
  const bool distrust = alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_CERTIFICATE_UNKNOWN;
  return {HandshakeFailure::kPeerAlert,
          fmt::format("the client sent alert {}{}{}",
                      name.empty() ? std::to_string(alert) : std::string(name), AlertMeaning(alert),
                      distrust ? ChainFlaw(ssl) : "")};
}

}  // namespace

Explanation ExplainFailure(SSL* ssl, const FailedHandshake& failed) {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const std::string text = TakeOpensslError();
  // Alerts are reasons from 1,000 on; far above are those common to all of OpenSSL.
  if (reason >= SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
    return PeerAlert(ssl, reason - SSL_AD_REASON_OFFSET);
  }
  if (code == 0 && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0) {
    return PeerAlert(ssl, SSL_AD_CLOSE_NOTIFY);
  }
  switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
      return NoVersion(ssl, failed);
    case SSL_R_INAPPROPRIATE_FALLBACK:
      return {HandshakeFailure::kNoSharedVersion,
              fmt::format("the client fell back to {} after a failure though it can do better",
                          DescribeVersions(failed.offer).substr(sizeof("at most ") - 1))};
    case SSL_R_NO_SHARED_CIPHER:
      return NoCipher(ssl, failed);
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_MISSING_SUPPORTED_GROUPS_EXTENSION:
      return NoGroup(failed);
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
      return NoSignature(ssl, failed);
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return NoProtocol(failed);
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return ClientMissing();
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return ClientRefused(failed);
    default:
      return {HandshakeFailure::kProtocol, text};
  }
}

}  // namespace postern::tls
