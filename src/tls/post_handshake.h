// PostHandshake: the handshake messages that a peer may still send when the handshake is over.
// TLS 1.3: KeyUpdate, and a server NewSessionTicket. TLS 1.2: what begins a renegotiation, a
// client's ClientHello or a server's HelloRequest.
#pragma once

#include <array>
#include <cstdint>

#include "postern/base/bytes.h"
#include "tls/names.h"

namespace postern::tls {

class PostHandshake {
 public:
  explicit PostHandshake(Peer peer) : peer_(peer) {}

  enum class Kind : uint8_t {
    kPartial,        // all is taken in, a message may have begun
    kKeyUpdate,      // the peer has a new key
    kKeyUpdateAsks,  // so it has, and wants one from us
    kRenegotiate,
    kTicket,  // a NewSessionTicket has ended
    kIllegal,
  };
  struct Event {
    Kind kind = Kind::kPartial;
    int alert = 0;              // kIllegal
    const char* why = nullptr;  // kIllegal; static storage
  };

  // Feed takes octets off the front of `content`, that of one handshake record, until it has an
  // event to tell or `content` is empty. Only the first octets of a message are kept.
  Event Feed(bool tls13, Bytes& content);
  // Whether a message has begun and not ended.
  bool partial() const { return size_ > 0; }

 private:
  Event Judge(bool tls13, Bytes content);

  bool Legal(bool tls13) const;
  Event JudgeLength(unsigned length);

  std::array<uint8_t, 5> start_{};  // type, length in three octets, and KeyUpdate's only octet
  uint8_t size_ = 0;
  Peer peer_;
  uint32_t skip_ = 0;  // octets of a message still to come that are not looked at
};

}  // namespace postern::tls
