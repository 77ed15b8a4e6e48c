// OpenSSL's reason, the client's offer and our settings put into one clause.
//
// libssl's reasons are where it noticed, not what was wrong: TLS 1.2 clients whose groups do not
// suit get "no shared cipher". So where the reason is of that kind, the lists are compared here.
#include "tls/explain.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include <algorithm>

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

std::string OurGroups(std::span<const uint16_t> groups) {
  std::string text;
  for (const uint16_t group : groups) {
    text += (text.empty() ? "" : " or ") + std::string(GroupName(group));
  }
  return text;
}

bool SharesGroup(const ClientOffer& offer, std::span<const uint16_t> groups) {
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

Explanation NoVersion(SSL* ssl, const ClientOffer& offer) {
  return {HandshakeFailure::kNoSharedVersion,
          fmt::format("the client offers {}, this listener wants {}", DescribeVersions(offer),
                      OurVersions(ssl))};
}

Explanation NoGroup(const ClientOffer& offer, std::span<const uint16_t> groups) {
  return {HandshakeFailure::kNoSharedGroup,
          fmt::format("the client offers the key exchange groups {}, this listener wants {}",
                      DescribeGroups(offer), OurGroups(groups))};
}

Explanation NoCipher(SSL* ssl, const ClientOffer& offer, std::span<const uint16_t> groups) {
  if (!SharesCipher(ssl, offer)) {
    return {HandshakeFailure::kNoSharedCipher,
            fmt::format("the client offers the suites {}, none of which this listener accepts",
                        DescribeCiphers(ssl, offer))};
  }
  // RFC 8422 section 4: a client that names no groups takes any.
  if (!offer.groups.empty() && !SharesGroup(offer, groups)) return NoGroup(offer, groups);
  return {HandshakeFailure::kNoSharedCipher,
          fmt::format("the client offers the suites {}, none of which suits the key of the "
                      "certificate",
                      DescribeCiphers(ssl, offer))};
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

Explanation PeerAlert(int alert) {
  const std::string_view name = AlertName(alert);
  return {
      HandshakeFailure::kPeerAlert,
      fmt::format("the client sent alert {}{}",
                  name.empty() ? std::to_string(alert) : std::string(name), AlertMeaning(alert))};
}

}  // namespace

Explanation ExplainFailure(SSL* ssl, const ClientOffer& offer, std::span<const uint16_t> groups) {
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  const std::string text = TakeOpensslError();
  // Alerts are reasons from 1,000 on; far above are those common to all of OpenSSL.
  if (reason >= SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
    return PeerAlert(reason - SSL_AD_REASON_OFFSET);
  }
  if (code == 0 && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0) {
    return PeerAlert(SSL_AD_CLOSE_NOTIFY);
  }
  switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
      return NoVersion(ssl, offer);
    case SSL_R_INAPPROPRIATE_FALLBACK:
      return {HandshakeFailure::kNoSharedVersion,
              fmt::format("the client fell back to {} after a failure though it can do better",
                          DescribeVersions(offer).substr(sizeof("at most ") - 1))};
    case SSL_R_NO_SHARED_CIPHER:
      return NoCipher(ssl, offer, groups);
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_MISSING_SUPPORTED_GROUPS_EXTENSION:
      return NoGroup(offer, groups);
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
      return {HandshakeFailure::kNoSharedCipher,
              "none of the client's signature algorithms suits the key of the certificate"};
    default:
      return {HandshakeFailure::kProtocol, text};
  }
}

}  // namespace postern::tls
