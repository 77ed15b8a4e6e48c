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
    case HandshakeFailure::kPeerAlert:
      return "peer-alert";
    case HandshakeFailure::kTooLarge:
      return "too-large";
    case HandshakeFailure::kProtocol:
      return "protocol";
    case HandshakeFailure::kInternal:
      return "internal";
  }
  return "unknown";
}

}  // namespace postern::tls
