// The PROXY protocol, versions 1 and 2 (HAProxy's "The PROXY protocol", here "the specification"):
// who the client is, told by a proxy in front of the connection's first octet. Octets in and octets
// out; it knows nothing of sockets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/limits.h"

namespace postern::mail {

enum class ProxyFamily : uint8_t {
  kUnknown,  // UNKNOWN, LOCAL, AF_UNSPEC: the connection's own addresses hold
  kIpv4,
  kIpv6,
  kUnix,  // UNIX sockets of the proxy's machine; their paths are not kept
};

// An address in network order; IPv4 has its four octets in front.
struct ProxyAddress {
  std::array<std::byte, 16> ip{};
  uint16_t port = 0;
  bool operator==(const ProxyAddress&) const = default;
};

// What TLS the client spoke with the proxy (section 2.2.6, PP2_TYPE_SSL). Empty texts are not sent.
struct ProxyTls {
  bool certificate_on_connection = false;  // the client gave a certificate in this connection
  bool certificate_in_session = false;     // or in the session that this one resumes
  bool verified = false;                   // and it was found good
  std::string_view version;                // "TLSv1.3"
  std::string_view common_name;            // of the client's certificate
  std::string_view cipher;                 // "ECDHE-RSA-AES128-GCM-SHA256"
  std::string_view signature_algorithm;    // of the proxy's certificate: "ecdsa-with-SHA256"
  std::string_view key_algorithm;          // of the proxy's certificate: "EC256"
  // Of the client's certificate, in extensions of Postern's own, which are written and not read.
  std::string_view subject;      // as RFC 4514 writes it
  std::string_view issuer;       // likewise
  std::string_view fingerprint;  // SHA-256, in hexadecimal
  bool operator==(const ProxyTls&) const = default;
};

// ProxyHeader is what a header says. The texts are borrowed and may hold any octet.
struct ProxyHeader {
  ProxyFamily family = ProxyFamily::kUnknown;
  ProxyAddress source;       // the client
  ProxyAddress destination;  // what it connected to
  // Version 2 only; empty where not given.
  std::string_view authority;  // the name that the client asked for (SNI)
  std::string_view alpn;
  std::string_view unique_id;
  std::optional<ProxyTls> tls;
  bool operator==(const ProxyHeader&) const = default;
};

// What a listener takes.
enum class ProxyAccepts : uint8_t { kVersion1, kVersion2, kAny };

struct ProxyParsed {
  enum class State : uint8_t { kNeedMore, kDone, kMalformed } state = State::kNeedMore;
  size_t consumed = 0;            // kDone: octets of the header; what follows is the client's
  ProxyHeader header;             // kDone; its texts lie in the octets that were given
  const char* failure = nullptr;  // kMalformed: what is wrong, a fixed phrase for the log
};

// ParseProxyHeader reads the header that `wire`, the connection's first octets so far, begins with.
// A verdict once given does not change with what follows. It never needs more than
// limits::kMaxProxyHeader octets: a longer header is malformed.
ProxyParsed ParseProxyHeader(Bytes wire, ProxyAccepts accepts);

// RepeatedHeader looks whether what follows a header begins as a header does, of either version: it
// would be believed by somebody behind who waits for one. Octets are not held up for it; what goes
// by before the verdict is no header yet.
class RepeatedHeader {
 public:
  // Take looks at the next octets. True: a second header has begun.
  bool Take(Bytes octets);
  // The octets are none: there is nothing more to be looked at.
  bool ruled_out() const { return ruled_out_; }

 private:
  uint8_t seen_ = 0;  // octets that a header begins with
  bool version2_ = false;
  bool ruled_out_ = false;
};

enum class ProxyFormat : uint8_t {
  kVersion1,     // addresses, as a line of text
  kVersion2,     // addresses, binary
  kVersion2Tls,  // and all that the header says of TLS, with a checksum
};

// WriteProxyHeader appends `header` to `out`. Version 1 calls kUnix UNKNOWN, version 2 AF_UNSPEC. A
// text that is longer than limits::kMaxProxyText is left out (cut short it would be another one),
// and so is one with which the header would be longer than limits::kMaxWrittenProxyHeader.
void WriteProxyHeader(const ProxyHeader& header, ProxyFormat format, std::vector<std::byte>& out);

// WriteLocalProxyHeader appends the header of a connection that the proxy makes for itself, with no
// client behind it: LOCAL (section 2.2). Version 1 has no more than UNKNOWN for it, which Postfix
// takes for an error, so there it is a client on the loopback interface.
void WriteLocalProxyHeader(ProxyFormat format, std::vector<std::byte>& out);

}  // namespace postern::mail
