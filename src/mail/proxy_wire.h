// The numbers of PROXY version 2 (the specification's section 2.2), for its reader and its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::mail::proxy {

inline constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
inline constexpr size_t kFixedPart = 16;  // signature, version and command, family, length

inline constexpr unsigned kVersion2 = 0x2;
inline constexpr unsigned kCommandLocal = 0x0;
inline constexpr unsigned kCommandProxy = 0x1;

inline constexpr unsigned kUnspec = 0x0;  // of families and of transports
inline constexpr unsigned kInet = 0x1;
inline constexpr unsigned kInet6 = 0x2;
inline constexpr unsigned kUnix = 0x3;
inline constexpr unsigned kStream = 0x1;
inline constexpr size_t kInetSize = 12;
inline constexpr size_t kInet6Size = 36;
inline constexpr size_t kUnixSize = 216;

// Extensions: a type, a length of two octets, a value.
inline constexpr size_t kTlvHeader = 3;
inline constexpr uint8_t kTypeAlpn = 0x01;
inline constexpr uint8_t kTypeAuthority = 0x02;
inline constexpr uint8_t kTypeCrc32c = 0x03;
inline constexpr uint8_t kTypeUniqueId = 0x05;
inline constexpr uint8_t kTypeSsl = 0x20;
inline constexpr uint8_t kTypeSslVersion = 0x21;
inline constexpr uint8_t kTypeSslCommonName = 0x22;
inline constexpr uint8_t kTypeSslCipher = 0x23;
inline constexpr uint8_t kTypeSslSignature = 0x24;
inline constexpr uint8_t kTypeSslKey = 0x25;
// Of those that are free for everybody (section 2.2.7).
inline constexpr uint8_t kTypeCertificateSubject = 0xE0;
inline constexpr uint8_t kTypeCertificateIssuer = 0xE1;
inline constexpr uint8_t kTypeCertificateSha256 = 0xE2;
inline constexpr size_t kSslFixedPart = 5;  // flags, and whether the certificate was verified
inline constexpr uint8_t kClientSsl = 0x01;
inline constexpr uint8_t kClientCertConn = 0x02;
inline constexpr uint8_t kClientCertSess = 0x04;
inline constexpr size_t kMaxUniqueId = 128;  // section 2.2.5

}  // namespace postern::mail::proxy
