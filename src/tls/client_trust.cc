// Every certificate that the administrator lists is an anchor, whether it signed itself or not:
// "clients of this authority" need not mean all clients of the root above it. A revocation list has
// to be there for every authority of a chain once one is given; a missing one would otherwise let
// in whom it names.
#include "tls/client_trust.h"

#include <openssl/x509_vfy.h>

#include <memory>

#include "postern/base/bytes.h"

namespace postern::tls {
namespace {

using CrlPtr = std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>>;

template <typename T, typename Decode>
T* FromDer(Bytes der, Decode decode) {
  const unsigned char* at = AsUnsigned(der);
  return decode(nullptr, &at, static_cast<long>(der.size()));
}

// The names that the client chooses its certificate by (RFC 8446 section 4.2.4). All of them
// together have 16 bits of length; where they come near that, none are sent, which means any.
bool SetNames(SSL_CTX* context, const generation::TrustSettings& trust) {
  constexpr int kMaxNames = 32 * 1024;
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  if (names == nullptr) return false;
  int octets = 0;
  bool good = true;
  for (const Bytes der : trust.certificates) {
    const X509Ptr certificate(FromDer<X509>(der, d2i_X509));
    X509_NAME* name =
        certificate == nullptr ? nullptr : X509_NAME_dup(X509_get_subject_name(certificate.get()));
    if (name == nullptr || sk_X509_NAME_push(names, name) <= 0) {
      X509_NAME_free(name);
      good = false;
      break;
    }
    octets += i2d_X509_NAME(name, nullptr) + 2;
  }
  if (!good || octets > kMaxNames) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return good;
  }
  SSL_CTX_set_client_CA_list(context, names);  // takes it
  return true;
}

}  // namespace

StorePtr MakeTrustStore(const generation::TrustSettings& trust) {
  StorePtr store(X509_STORE_new());
  if (store == nullptr) return nullptr;
  for (const Bytes der : trust.certificates) {
    const X509Ptr certificate(FromDer<X509>(der, d2i_X509));
    if (certificate == nullptr || X509_STORE_add_cert(store.get(), certificate.get()) != 1) {
      return nullptr;
    }
  }
  for (const Bytes der : trust.crls) {
    const CrlPtr crl(FromDer<X509_CRL>(der, d2i_X509_CRL));
    if (crl == nullptr || X509_STORE_add_crl(store.get(), crl.get()) != 1) return nullptr;
  }
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
  if (!trust.crls.empty()) flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
  return X509_STORE_set_flags(store.get(), flags) == 1 ? std::move(store) : nullptr;
}

bool SetClientTrust(SSL_CTX* context, const ClientPolicy& clients) {
  if (clients.mode == config::ClientMode::kOff) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return true;
  }
  if (clients.trust == nullptr || clients.trust->certificates.empty()) return false;
  StorePtr store = MakeTrustStore(*clients.trust);
  if (store == nullptr || !SetNames(context, *clients.trust)) return false;
  SSL_CTX_set_cert_store(context, store.release());
  SSL_CTX_set_verify_depth(context, static_cast<int>(clients.depth));
  const bool required = clients.mode == config::ClientMode::kRequired;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  return true;
}

}  // namespace postern::tls
