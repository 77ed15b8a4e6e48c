// ServerCertificate: a certificate chain and its private key, parsed and ready to be used by any
// number of handshakes.
#pragma once

#include <string>
#include <string_view>

#include "postern/base/result.h"
#include "postern/generation/certificate_index.h"
#include "tls/openssl_types.h"

namespace postern::tls {

class ServerCertificate {
 public:
  // Copies out of `view`. The error names the certificate.
  static Result<ServerCertificate> Load(const generation::CertificateView& view);

  const std::string& name() const { return name_; }
  // As HandshakeFacts has them.
  std::string_view signature_name() const { return signature_name_; }
  const std::string& key_name() const { return key_name_; }
  // Install makes `ssl` use it; SSL_certs_clear undoes it. False leaves the cause in OpenSSL's
  // error queue.
  bool Install(SSL* ssl) const;
  // Try finds out whether `context`'s connections could use it; the error says why not, and what to
  // do, without naming the certificate.
  Status Try(SSL_CTX* context) const;

 private:
  std::string name_;
  std::string_view signature_name_;
  std::string key_name_;
  X509Ptr leaf_;
  X509ChainPtr chain_;  // without the leaf
  PkeyPtr key_;
};

}  // namespace postern::tls
