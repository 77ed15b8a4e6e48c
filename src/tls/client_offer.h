// ClientOffer: what a ClientHello offered, kept while the handshake lasts to explain its failure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tls/openssl_types.h"

namespace postern::tls {

struct ClientOffer {
  bool seen = false;
  std::vector<uint16_t> versions;  // as listed, or the legacy version alone
  bool lists_versions = false;     // they are from supported_versions
  std::vector<uint16_t> ciphers;   // without the signals among them (SCSV)
  std::vector<uint16_t> groups;
  std::vector<std::string> protocols;            // ALPN, bounded
  std::vector<uint16_t> signatures;              // signature_algorithms
  std::vector<uint16_t> certificate_signatures;  // signature_algorithms_cert
  std::string sni;  // lower case, without a trailing dot; empty: none, or not a host name

  bool OffersCipher(uint16_t id) const;
  bool OffersGroup(uint16_t id) const;
};

// ReadOffer reads it; valid only within the ClientHello callback. What is malformed is left out:
// libssl refuses it a moment later.
ClientOffer ReadOffer(SSL* ssl);

// One clause each, bounded: "at most TLSv1.1", "DES-CBC3-SHA, AES128-SHA and 3 more".
std::string DescribeVersions(const ClientOffer& offer);
std::string DescribeCiphers(SSL* ssl, const ClientOffer& offer);
std::string DescribeGroups(const ClientOffer& offer);
std::string DescribeSignatures(const ClientOffer& offer);
std::string DescribeProtocols(const ClientOffer& offer);  // "h2, http/1.1"

}  // namespace postern::tls
