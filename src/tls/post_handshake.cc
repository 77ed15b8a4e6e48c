// Messages may be cut into records at any octet (RFC 8446 section 5.1), so this is a state machine
// over octets; it holds five of them, whatever the peer announces.
#include "tls/post_handshake.h"

#include <openssl/ssl.h>

#include <algorithm>

#include "postern/base/limits.h"

namespace postern::tls {
namespace {

constexpr uint8_t kHelloRequest = 0;
constexpr uint8_t kClientHello = 1;
constexpr uint8_t kNewSessionTicket = 4;
constexpr uint8_t kKeyUpdate = 24;

// RFC 8446 section 4.6.1: lifetime, age_add, a nonce of up to 2^8 - 1 octets, a ticket of 1 to
// 2^16 - 1, extensions of up to 2^16 - 2.
constexpr unsigned kLeastTicket = 4 + 4 + 1 + 2 + 1 + 2;
constexpr unsigned kMostTicket = 4 + 4 + 1 + 255 + 2 + 65'535 + 2 + 65'534;

PostHandshake::Event Illegal(int alert, const char* why) {
  return {PostHandshake::Kind::kIllegal, alert, why};
}

}  // namespace

PostHandshake::Event PostHandshake::Feed(bool tls13, Bytes& content) {
  while (!content.empty()) {
    if (skip_ > 0) {
      const size_t skipped = std::min<size_t>(skip_, content.size());
      skip_ = static_cast<uint32_t>(skip_ - skipped);
      content = content.subspan(skipped);
    } else {
      start_[size_++] = std::to_integer<uint8_t>(content[0]);
      content = content.subspan(1);
      const Event event = Judge(tls13, content);
      if (event.kind != Kind::kPartial) return event;
    }
    if (size_ == 4 && skip_ == 0 && start_[0] != kKeyUpdate) {
      size_ = 0;
      return {tls13 ? Kind::kTicket : Kind::kRenegotiate};
    }
  }
  return {};
}

// There is nothing else to say to a server that asks for no client certificate any more, nor to a
// client that has not offered to show one later (RFC 8446 section 4.6.2).
bool PostHandshake::Legal(bool tls13) const {
  const bool server = peer_ == Peer::kServer;
  if (!tls13) return start_[0] == (server ? kHelloRequest : kClientHello);
  return start_[0] == kKeyUpdate || (server && start_[0] == kNewSessionTicket);
}

// Of a message whose content is not looked at.
PostHandshake::Event PostHandshake::JudgeLength(unsigned length) {
  if (start_[0] == kHelloRequest && length != 0) {
    return Illegal(SSL_AD_DECODE_ERROR, "a malformed HelloRequest");
  }
  if (start_[0] == kClientHello && length > limits::kMaxPlaintext) {
    return Illegal(SSL_AD_ILLEGAL_PARAMETER, "a ClientHello that is too long");
  }
  if (start_[0] == kNewSessionTicket && (length < kLeastTicket || length > kMostTicket)) {
    return Illegal(SSL_AD_DECODE_ERROR, "a malformed NewSessionTicket");
  }
  skip_ = length;
  return {};
}

// Judge looks at a message as far as it has come; `content` is what follows in the record.
PostHandshake::Event PostHandshake::Judge(bool tls13, Bytes content) {
  if (!Legal(tls13)) {
    return Illegal(SSL_AD_UNEXPECTED_MESSAGE, "a handshake message that may not come here");
  }
  if (size_ < 4) return {};
  const unsigned length = unsigned{start_[1]} << 16 | unsigned{start_[2]} << 8 | start_[3];
  if (start_[0] != kKeyUpdate) return JudgeLength(length);
  // RFC 8446 section 4.6.3.
  if (length != 1) return Illegal(SSL_AD_DECODE_ERROR, "a malformed KeyUpdate");
  if (size_ < 5) return {};
  if (start_[4] > 1) return Illegal(SSL_AD_ILLEGAL_PARAMETER, "a malformed KeyUpdate");
  // RFC 8446 section 5.1: a message before a key change ends with its record.
  if (!content.empty()) {
    return Illegal(SSL_AD_UNEXPECTED_MESSAGE, "octets behind a KeyUpdate in its record");
  }
  size_ = 0;
  return {start_[4] == 1 ? Kind::kKeyUpdateAsks : Kind::kKeyUpdate};
}

}  // namespace postern::tls
