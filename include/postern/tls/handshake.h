// Handshake: a TLS handshake as a function of bytes. It is short and heavy; when it is over, the
// session keeps the Record it yields and drops it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/tls/record.h"

namespace postern::tls {

enum class HandshakeState : uint8_t { kNeedMore, kEstablished, kFailed };

// Why a handshake failed: the cause decides the metric and the first words of the log line.
enum class HandshakeFailure : uint8_t {
  kNone,
  kPlainHttp,        // "GET / HTTP/1.1" and the like on a TLS port
  kPlainText,        // printable text: a mail client with TLS switched off
  kSslv2,            // an SSLv2 record
  kNotTls,           // other octets
  kNoSharedVersion,  // the client's versions and ours do not meet
  kNoSharedCipher,
  kNoSharedGroup,
  kNoCertificate,          // strict_sni, and no certificate has the name that the client asks for
  kNoApplicationProtocol,  // ALPN names protocols of other services alone
  kClientCertificateMissing,  // the listener requires one
  kClientCertificateRefused,  // it does not verify
  kServerCertificateRefused,  // a back end's server's does not
  kServerNameMismatch,        // it does, but is for other names than the expected one
  kPeerAlert,                 // the client refused: its alert is in the detail
  kTooLarge,                  // more than limits::kMaxHandshakeBytes
  kProtocol,                  // anything else that OpenSSL found wrong
  kInternal,                  // ours: no context, no memory
  kTimeout,                   // not complete in time (the session's to say, as the next two)
  kGone,                      // the client went away
  kStopped,                   // Postern was stopped meanwhile
};
inline constexpr size_t kHandshakeFailures = static_cast<size_t>(HandshakeFailure::kStopped) + 1;
std::string_view ToString(HandshakeFailure failure);  // "plain-http": for logs and metrics

// What is told of a peer's certificate. Texts are bounded for a log line; they may hold any octet.
struct PeerCertificate {
  std::string subject;      // as RFC 4514 writes it
  std::string issuer;       // likewise
  std::string common_name;  // the subject's; empty: it has none
  std::string email;        // the first rfc822Name of its subjectAltName, likewise
  std::string fingerprint;  // SHA-256 of the certificate, 64 hexadecimal digits
  bool verified = false;
};

// What the log line and a PROXY header tell of a handshake; texts are OpenSSL's names or what the
// peer sent.
struct HandshakeFacts {
  std::string_view version;  // "TLSv1.3"; static storage
  std::string_view cipher;   // "TLS_AES_128_GCM_SHA256"; static storage
  std::string_view group;    // "X25519"; static storage, empty when there was no key exchange
  std::string sni;           // lower case; empty when the client sent none
  std::string certificate;   // name of the pair that was served
  // The signature on the certificate that was served ("ecdsa-with-SHA256", static storage), and
  // its key ("EC256", "RSA2048").
  std::string_view certificate_signature;
  std::string certificate_key;
  // The peer's certificate; null: it showed none. In a resumed session it is that of the first one.
  std::shared_ptr<const PeerCertificate> peer;
  std::string_view alpn;  // the protocol that was selected; static storage
  bool resumed = false;
};

class Handshake {
 public:
  virtual ~Handshake() = default;

  struct Progress {
    HandshakeState state = HandshakeState::kNeedMore;
    size_t consumed = 0;  // octets of `wire` that need not be offered again
  };

  // Advance eats from `wire` (unconsumed octets of last time first, new ones behind) and appends
  // what has to be sent to `out`; `out` must be sent in every state, also when it failed (the
  // alert). Once established, octets beyond `consumed` are records for the Record. Call it no more
  // after kEstablished or kFailed.
  virtual Progress Advance(Bytes wire, std::vector<std::byte>& out) = 0;

  virtual HandshakeFailure failure() const = 0;
  // One clause in words: "the client spoke HTTP without TLS (GET /)", "client sent alert
  // unknown_ca".
  virtual const std::string& failure_detail() const = 0;
  virtual HandshakeFacts& facts() = 0;

  // TakeRecord hands over the record layer; once, after kEstablished.
  virtual std::unique_ptr<Record> TakeRecord() = 0;
};

}  // namespace postern::tls
