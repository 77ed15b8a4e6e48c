// Messages may be cut into records at any octet (RFC 8446 section 5.1), so this is a state machine
// over octets; it holds five of them, whatever the peer announces.
#include "tls/post_handshake.h"

#include <openssl/ssl.h>

#include <algorithm>

#include "postern/base/limits.h"

namespace postern::tls {
namespace {

constexpr uint8_t kClientHello = 1;
constexpr uint8_t kKeyUpdate = 24;

PostHandshake::Event Illegal(int alert, const char* why) {
  return {PostHandshake::Kind::kIllegal, alert, why};
}

}  // namespace

PostHandshake::Event PostHandshake::Feed(bool tls13, Bytes& content) {
  while (!content.empty()) {
    if (skip_ > 0) {
      const size_t skipped = std::min<size_t>(skip_, content.size());
      skip_ = static_cast<uint16_t>(skip_ - skipped);
      content = content.subspan(skipped);
    } else {
      start_[size_++] = std::to_integer<uint8_t>(content[0]);
      content = content.subspan(1);
      const Event event = Judge(tls13, content);
      if (event.kind != Kind::kPartial) return event;
    }
    if (!tls13 && size_ == 4 && skip_ == 0) {
      size_ = 0;
      return {Kind::kRenegotiate};
    }
  }
  return {};
}

// Judge looks at a message as far as it has come; `content` is what follows in the record.
PostHandshake::Event PostHandshake::Judge(bool tls13, Bytes content) {
  // To a server that asks for no client certificate there is nothing else to say.
  if (start_[0] != (tls13 ? kKeyUpdate : kClientHello)) {
    return Illegal(SSL_AD_UNEXPECTED_MESSAGE, "a handshake message that may not come here");
  }
  if (size_ < 4) return {};
  const unsigned length = unsigned{start_[1]} << 16 | unsigned{start_[2]} << 8 | start_[3];
  if (!tls13) {
    if (length > limits::kMaxPlaintext) {
      return Illegal(SSL_AD_ILLEGAL_PARAMETER, "a ClientHello that is too long");
    }
    skip_ = static_cast<uint16_t>(length);
    return {};
  }
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
