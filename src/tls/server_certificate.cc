// From DER to OpenSSL's objects.
//
// The usual way is one SSL_CTX per certificate and SSL_set_SSL_CTX in the ClientHello callback. But
// an SSL_CTX costs 0.2 ms and 13 KB on OpenSSL 3.0 (measured) for what are then the same lists of
// suites and groups 4,096 times over. Certificate and key set on the SSL itself cost 1 us more per
// handshake and nothing per name; and no connection holds a context that holds a retired key.
#include "tls/server_certificate.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "tls/openssl_error.h"
#include "tls/peer_certificate.h"

namespace postern::tls {
namespace {

X509Ptr ParseCertificate(Bytes der) {
  const unsigned char* at = AsUnsigned(der);
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate != nullptr && at != AsUnsigned(der) + der.size()) return nullptr;
  return certificate;
}

PkeyPtr ParseKey(Bytes der) {
  const unsigned char* at = AsUnsigned(der);
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeWith<PKCS8_PRIV_KEY_INFO_free>> info(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  return PkeyPtr(info == nullptr ? nullptr : EVP_PKCS82PKEY(info.get()));
}

std::unexpected<Error> Refuse(const std::string& name, std::string_view what) {
  return Fail(fmt::format("certificate {}: {}: {}", name, what, TakeOpensslError()));
}

const char* Remedy(int reason) {
  switch (reason) {
    case SSL_R_EE_KEY_TOO_SMALL:
      return "make a key of at least 2048 bits (RSA) or 256 bits (ECDSA), and have the certificate "
             "issued for it";
    case SSL_R_CA_KEY_TOO_SMALL:
      return "have the certificate issued by an authority with a longer key; leave roots out";
    case SSL_R_CA_MD_TOO_WEAK:
      return "have the certificate and those of its chain issued anew with SHA-256; leave roots "
             "out";
    default:
      return "have the certificate issued anew, for an EC P-256 or RSA 2048 key";
  }
}

}  // namespace

Result<ServerCertificate> ServerCertificate::Load(const generation::CertificateView& view) {
  ERR_clear_error();
  ServerCertificate made;
  made.name_ = view.name;
  made.chain_.reset(sk_X509_new_null());
  if (made.chain_ == nullptr) return Refuse(made.name_, "no memory");
  for (const Bytes der : view.chain_der) {
    X509Ptr certificate = ParseCertificate(der);
    if (certificate == nullptr) return Refuse(made.name_, "the chain cannot be parsed");
    if (made.leaf_ == nullptr) {
      made.leaf_ = std::move(certificate);
    } else if (sk_X509_push(made.chain_.get(), certificate.get()) > 0) {
      static_cast<void>(certificate.release());
    } else {
      return Refuse(made.name_, "no memory");
    }
  }
  if (made.leaf_ == nullptr) return Refuse(made.name_, "the chain is empty");
  made.key_ = ParseKey(view.key_der);
  if (made.key_ == nullptr) return Refuse(made.name_, "the key cannot be parsed");
  if (X509_check_private_key(made.leaf_.get(), made.key_.get()) != 1) {
    return Refuse(made.name_, "certificate and key do not belong together");
  }
  made.signature_name_ = SignatureName(made.leaf_.get());
  made.key_name_ = KeyName(made.key_.get());
  return made;
}

bool ServerCertificate::Install(SSL* ssl) const {
  return SSL_use_cert_and_key(ssl, leaf_.get(), key_.get(), chain_.get(), 1) == 1;
}

Status ServerCertificate::Try(SSL_CTX* context) const {
  ERR_clear_error();
  const SslPtr ssl(SSL_new(context));
  if (ssl != nullptr && Install(ssl.get())) return {};
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  return Fail("OpenSSL refuses it: " + TakeOpensslError(), Remedy(reason));
}

}  // namespace postern::tls
