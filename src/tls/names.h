// Names of numbers in TLS messages, for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::tls {

// "TLSv1.2" for 0x0303; "version 0x0305" for what is unknown.
std::string VersionName(uint16_t version);
// "X25519" for 29 (IANA's TLS Supported Groups); empty when unknown. Static storage.
std::string_view GroupName(uint16_t group);
// The reverse, by any name that OpenSSL takes ("P-256", "prime256v1", "secp256r1"); 0 when unknown.
uint16_t GroupNumber(std::string_view name);
// "handshake_failure" for 40 (RFC 8446 section 6.2, RFC 5246 section 7.2); empty when unknown.
std::string_view AlertName(int alert);
enum class Peer : uint8_t { kClient, kServer };
// "the client sent alert bad_record_mac", for 0 to 255. Static storage.
const char* AlertPhrase(Peer peer, int alert);

}  // namespace postern::tls
