#include "postern/tls/handshake.h"

namespace postern::tls {

std::string_view ToString(HandshakeFailure failure) {
  switch (failure) {
    case HandshakeFailure::kNone:
      return "none";
    case HandshakeFailure::kPlainHttp:
      return "plain-http";
    case HandshakeFailure::kPlainText:
      return "plain-text";
    case HandshakeFailure::kSslv2:
      return "sslv2";
    case HandshakeFailure::kNotTls:
      return "not-tls";
    case HandshakeFailure::kNoSharedVersion:
      return "no-shared-version";
    case HandshakeFailure::kNoSharedCipher:
      return "no-shared-cipher";
    case HandshakeFailure::kNoSharedGroup:
      return "no-shared-group";
    case HandshakeFailure::kNoApplicationProtocol:
      return "no-application-protocol";
    case HandshakeFailure::kClientCertificateMissing:
      return "client-certificate-missing";
    case HandshakeFailure::kClientCertificateRefused:
      return "client-certificate-refused";
    case HandshakeFailure::kServerCertificateRefused:
      return "server-certificate-refused";
    case HandshakeFailure::kServerNameMismatch:
      return "server-name-mismatch";
    case HandshakeFailure::kNoCertificate:
      return "no-certificate";
    case HandshakeFailure::kPeerAlert:
      return "peer-alert";
    case HandshakeFailure::kTooLarge:
      return "too-large";
    case HandshakeFailure::kProtocol:
      return "protocol";
    case HandshakeFailure::kInternal:
      return "internal";
    case HandshakeFailure::kTimeout:
      return "timeout";
    case HandshakeFailure::kGone:
      return "client-gone";
    case HandshakeFailure::kStopped:
      return "stopped";
  }
  return "unknown";
}

}  // namespace postern::tls
