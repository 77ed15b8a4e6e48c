#include "tls/handshake_facts.h"

#include <string_view>

#include "tls/names.h"

namespace postern::tls {
namespace {

std::string_view NegotiatedGroup(SSL* ssl) {
  // OpenSSL names a group by its NID, or by its TLS number with a mark when it has none.
  const long group = SSL_get_negotiated_group(ssl);
  switch (group) {
    case NID_X9_62_prime256v1:
      return GroupName(23);
    case NID_secp384r1:
      return GroupName(24);
    case NID_X25519:
      return GroupName(29);
    case NID_secp521r1:
      return GroupName(25);
    case NID_X448:
      return GroupName(30);
    case NID_ffdhe2048:
      return GroupName(256);
    case NID_ffdhe3072:
      return GroupName(257);
    case NID_ffdhe4096:
      return GroupName(258);
    default:
      return (group & TLSEXT_nid_unknown) != 0 ? GroupName(static_cast<uint16_t>(group & 0xFFFF))
                                               : std::string_view();
  }
}

}  // namespace

void FillFacts(SSL* ssl, HandshakeFacts& facts) {
  facts.version = SSL_get_version(ssl);
  facts.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
  facts.group = NegotiatedGroup(ssl);
  facts.resumed = SSL_session_reused(ssl) == 1;
}

}  // namespace postern::tls
