// Ordering chains. OpenSSL's X509_STORE_CTX would build one, too, but verifies it against anchors
// and the clock on the way; here the question is only who signed whom.
#include "postern/pki/chain.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "postern/pki/describe.h"

namespace postern::pki {
namespace {

bool SignedByItself(X509* certificate) {
  const bool self_signed = X509_self_signed(certificate, 1) == 1;
  ERR_clear_error();
  return self_signed;
}

}  // namespace

bool IsIssuedBy(X509* certificate, X509* issuer) {
  const bool issued = X509_check_issued(issuer, certificate) == X509_V_OK &&
                      X509_get0_pubkey(issuer) != nullptr &&
                      X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
  ERR_clear_error();
  return issued;
}

bool InOrder(const std::vector<X509*>& chain) {
  for (size_t i = 1; i < chain.size(); ++i) {
    if (X509_NAME_cmp(X509_get_issuer_name(chain[i - 1]), X509_get_subject_name(chain[i])) != 0) {
      return false;
    }
  }
  return true;
}

OrderedChain OrderChain(X509* leaf, const std::vector<X509*>& pool) {
  OrderedChain ordered;
  ordered.chain.push_back(leaf);
  std::vector<X509*> left;
  std::ranges::copy_if(pool, std::back_inserter(left),
                       [&](X509* other) { return other != leaf && X509_cmp(other, leaf) != 0; });
  while (!SignedByItself(ordered.chain.back()) && ordered.chain.size() < kMaxChain) {
    X509* last = ordered.chain.back();
    const auto issuer =
        std::ranges::find_if(left, [&](X509* other) { return IsIssuedBy(last, other); });
    if (issuer == left.end()) break;
    if (SignedByItself(*issuer)) break;
    ordered.chain.push_back(*issuer);
    left.erase(issuer);
  }
  ordered.unused = std::move(left);
  return ordered;
}

TrustAnchors::TrustAnchors() : store_(X509_STORE_new()) {
  // Directories are looked into when they are asked; a machine without any trusts nobody.
  if (store_ != nullptr) X509_STORE_set_default_paths(store_);
  ERR_clear_error();
}

TrustAnchors::~TrustAnchors() { X509_STORE_free(store_); }

bool TrustAnchors::Issued(X509* certificate) const {
  if (store_ == nullptr) return false;
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  bool issued = false;
  if (context != nullptr && X509_STORE_CTX_init(context, store_, certificate, nullptr) == 1) {
    X509* issuer = nullptr;
    issued = X509_STORE_CTX_get1_issuer(&issuer, context, certificate) == 1 &&
             IsIssuedBy(certificate, issuer);
    X509_free(issuer);
  }
  X509_STORE_CTX_free(context);
  ERR_clear_error();
  return issued;
}

std::optional<Error> MissingIntermediate(const std::vector<X509*>& chain,
                                         const TrustAnchors& anchors) {
  X509* last = chain.back();
  if (SignedByItself(last) || anchors.Issued(last)) return std::nullopt;
  const std::string url = IssuerUrl(last);
  if (url.empty()) {
    return Error{fmt::format("the chain ends at {}, which was issued by {}: this machine does not "
                             "know that authority",
                             Subject(last), Issuer(last)),
                 "if clients trust it as a root, all is well; if it is an intermediate, add its "
                 "certificate",
                 {}};
  }
  return Error{
      fmt::format("the intermediate certificate {} is missing: {} was issued by it", Issuer(last),
                  Subject(last)),
      fmt::format("get it from the authority, {} says at {}, and add it", Subject(last), url),
      {}};
}

}  // namespace postern::pki
