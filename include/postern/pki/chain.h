// Chains: which certificate was issued by which.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "postern/pki/certificate.h"

namespace postern::pki {

struct OrderedChain {
  std::vector<X509*> chain;   // leaf first, each issued by the next
  std::vector<X509*> unused;  // of the pool: what is no part of it
};

// OrderChain follows the issuers of `leaf` through `pool` (which may hold the leaf), by name, key
// identifier, permission to sign and signature. A root is left out: clients have it or do not trust
// it (RFC 8446 section 4.4.2), unless it is the leaf itself. Of two certificates of one issuer the
// first in the pool is taken. Everything is borrowed.
OrderedChain OrderChain(X509* leaf, const std::vector<X509*>& pool);

// InOrder says whether each certificate names the next as its issuer, as a quick look: by name.
bool InOrder(const std::vector<X509*>& chain);

// IsIssuedBy: by name, key identifier, permission to sign and signature.
bool IsIssuedBy(X509* certificate, X509* issuer);

// TrustAnchors are the authorities that this machine trusts (OpenSSL's default places).
class TrustAnchors {
 public:
  TrustAnchors();
  TrustAnchors(const TrustAnchors&) = delete;
  TrustAnchors& operator=(const TrustAnchors&) = delete;
  ~TrustAnchors();
  // Whether one of them has issued `certificate`.
  bool Issued(X509* certificate) const;

 private:
  X509_STORE* store_;
};

// MissingIntermediate says what a chain lacks: the error names the issuer that is not there and
// where it may be fetched. No error when the chain ends at a self-signed certificate or below one
// of `anchors`. A private authority's chain that is complete cannot be told from one that lacks
// something; the remedy says so.
std::optional<Error> MissingIntermediate(const std::vector<X509*>& chain,
                                         const TrustAnchors& anchors);

}  // namespace postern::pki
