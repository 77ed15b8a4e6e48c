// Reading the PROXY header. The whole header is looked at anew each time octets come: it comes in
// one segment nearly always (the specification asks senders for that), so a state machine that
// remembers its place would save nothing.
//
// The reader is strict, since a header that is read in two ways is a forged address: what the
// specification does not allow is malformed, never guessed.
#include "postern/mail/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bitset>
#include <charconv>
#include <cstring>
#include <string>

#include "mail/crc32c.h"
#include "mail/proxy_wire.h"

namespace postern::mail {
namespace {

using State = ProxyParsed::State;

ProxyParsed Malformed(const char* failure) { return {State::kMalformed, 0, {}, failure}; }

// Whether `wire` and `start` agree as far as both go.
bool BeginsLike(Bytes wire, std::string_view start) {
  const size_t size = std::min(wire.size(), start.size());
  return AsText(wire.first(size)) == start.substr(0, size);
}

// --- Version 1: a line of text ---

// The specification's section 2.1: the longest line, CRLF included.
constexpr size_t kLongestLine = 107;
constexpr std::string_view kLineStart = "PROXY ";

// TakeWord takes what stands before the next space, and the space; all of it where there is none.
std::string_view TakeWord(std::string_view& line) {
  const size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

bool ParseIp(std::string_view text, ProxyFamily family, ProxyAddress& out) {
  // inet_pton wants an end mark, and refuses leading zeros as the specification asks.
  char copy[INET6_ADDRSTRLEN + 1] = {};
  if (text.size() >= sizeof copy || text.contains('\0')) return false;
  std::memcpy(copy, text.data(), text.size());
  return inet_pton(family == ProxyFamily::kIpv4 ? AF_INET : AF_INET6, copy, out.ip.data()) == 1;
}

bool ParsePort(std::string_view text, ProxyAddress& out) {
  if (text.size() > 1 && text.front() == '0') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.port);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

ProxyParsed ParseLine(std::string_view line) {
  ProxyParsed parsed{State::kDone, line.size() + 2, {}, nullptr};
  ProxyHeader& header = parsed.header;
  line.remove_prefix(kLineStart.size());
  // One space stands between two words and none at the end.
  const bool ends_in_space = line.ends_with(' ');
  const std::string_view family = TakeWord(line);
  // Section 2.1: what else stands on a line for UNKNOWN is to be ignored.
  if (family == "UNKNOWN") return parsed;
  if (family != "TCP4" && family != "TCP6") return Malformed("an unknown family in a PROXY line");
  header.family = family == "TCP4" ? ProxyFamily::kIpv4 : ProxyFamily::kIpv6;
  if (!ParseIp(TakeWord(line), header.family, header.source) ||
      !ParseIp(TakeWord(line), header.family, header.destination)) {
    return Malformed("a bad address in a PROXY line");
  }
  if (!ParsePort(TakeWord(line), header.source) || !ParsePort(TakeWord(line), header.destination)) {
    return Malformed("a bad port in a PROXY line");
  }
  if (!line.empty() || ends_in_space) return Malformed("more words than six in a PROXY line");
  return parsed;
}

ProxyParsed ParseVersion1(Bytes wire) {
  const std::string_view text = AsText(wire.first(std::min(wire.size(), kLongestLine)));
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    if (wire.size() >= kLongestLine) return Malformed("a PROXY line of more than 107 octets");
    return {};
  }
  if (text[end - 1] != '\r') return Malformed("a PROXY line that ends without CR");
  return ParseLine(text.substr(0, end - 1));
}

// --- Version 2: binary ---

unsigned OctetAt(Bytes bytes, size_t at) { return static_cast<unsigned>(bytes[at]); }
size_t NumberAt(Bytes bytes, size_t at) { return OctetAt(bytes, at) << 8 | OctetAt(bytes, at + 1); }

struct Tlv {
  uint8_t type = 0;
  Bytes value;
};

// TakeTlv takes the next extension; false when it is longer than what is there.
bool TakeTlv(Bytes& from, Tlv& tlv) {
  if (from.size() < proxy::kTlvHeader) return false;
  const size_t size = NumberAt(from, 1);
  if (from.size() - proxy::kTlvHeader < size) return false;
  tlv = {static_cast<uint8_t>(from[0]), from.subspan(proxy::kTlvHeader, size)};
  from = from.subspan(proxy::kTlvHeader + size);
  return true;
}

bool ParseTls(Bytes value, std::optional<ProxyTls>& out) {
  if (value.size() < proxy::kSslFixedPart) return false;
  const auto flags = static_cast<uint8_t>(value[0]);
  const bool verified = std::ranges::all_of(value.subspan(1, 4),
                                            [](std::byte octet) { return octet == std::byte{}; });
  ProxyTls tls;
  Bytes rest = value.subspan(proxy::kSslFixedPart);
  for (Tlv tlv; !rest.empty();) {
    if (!TakeTlv(rest, tlv)) return false;
    if (tlv.type == proxy::kTypeSslVersion) tls.version = AsText(tlv.value);
    if (tlv.type == proxy::kTypeSslCommonName) tls.common_name = AsText(tlv.value);
    if (tlv.type == proxy::kTypeSslCipher) tls.cipher = AsText(tlv.value);
    if (tlv.type == proxy::kTypeSslSignature) tls.signature_algorithm = AsText(tlv.value);
    if (tlv.type == proxy::kTypeSslKey) tls.key_algorithm = AsText(tlv.value);
  }
  // Section 2.2.6: without this flag the client did not speak TLS, and the rest says nothing.
  if ((flags & proxy::kClientSsl) == 0) return true;
  tls.certificate_on_connection = (flags & proxy::kClientCertConn) != 0;
  tls.certificate_in_session = (flags & proxy::kClientCertSess) != 0;
  tls.verified = verified && (tls.certificate_on_connection || tls.certificate_in_session);
  out = tls;
  return true;
}

// The sum is made over the whole header with four zeros in its own place (section 2.2.3).
bool SumIsRight(Bytes header, Bytes sum) {
  if (sum.size() != 4) return false;
  const auto at = static_cast<size_t>(sum.data() - header.data());
  const std::array<std::byte, 4> zeros{};
  const uint32_t counted = Crc32c(header.subspan(at + 4), Crc32c(zeros, Crc32c(header.first(at))));
  return counted == (NumberAt(sum, 0) << 16 | NumberAt(sum, 2));
}

bool IsKnown(uint8_t type) {
  return type == proxy::kTypeAlpn || type == proxy::kTypeAuthority || type == proxy::kTypeCrc32c ||
         type == proxy::kTypeUniqueId || type == proxy::kTypeSsl;
}

const char* ParseExtensions(Bytes whole, Bytes extensions, ProxyHeader& header) {
  std::bitset<256> seen;
  for (Tlv tlv; !extensions.empty();) {
    if (!TakeTlv(extensions, tlv)) return "an extension of the PROXY header goes beyond its end";
    // Whose value would hold?
    if (IsKnown(tlv.type) && seen.test(tlv.type)) return "an extension twice in the PROXY header";
    seen.set(tlv.type);
    switch (tlv.type) {
      case proxy::kTypeAlpn:
        header.alpn = AsText(tlv.value);
        break;
      case proxy::kTypeAuthority:
        header.authority = AsText(tlv.value);
        break;
      case proxy::kTypeUniqueId:
        if (tlv.value.size() > proxy::kMaxUniqueId) return "a unique ID of more than 128 octets";
        header.unique_id = AsText(tlv.value);
        break;
      case proxy::kTypeCrc32c:
        if (!SumIsRight(whole, tlv.value)) return "a wrong checksum in the PROXY header";
        break;
      case proxy::kTypeSsl:
        if (!ParseTls(tlv.value, header.tls)) return "a bad TLS extension in the PROXY header";
        break;
      default:
        break;  // section 2.2: what one does not know is to be ignored
    }
  }
  return nullptr;
}

// Section 2.2: family in the upper half of the octet, transport in the lower.
const char* ParseAddresses(unsigned family, Bytes& rest, ProxyHeader& header) {
  const unsigned transport = family & 0xF;
  const auto address = [&](size_t at, size_t size, size_t port_at, ProxyAddress& out) {
    std::ranges::copy(rest.subspan(at, size), out.ip.begin());
    out.port = static_cast<uint16_t>(NumberAt(rest, port_at));
  };
  size_t size = 0;
  switch (family >> 4) {
    case proxy::kUnspec:
      break;
    case proxy::kInet:
      header.family = ProxyFamily::kIpv4;
      size = proxy::kInetSize;
      break;
    case proxy::kInet6:
      header.family = ProxyFamily::kIpv6;
      size = proxy::kInet6Size;
      break;
    case proxy::kUnix:
      header.family = ProxyFamily::kUnix;
      size = proxy::kUnixSize;
      break;
    default:
      return "an unknown address family in the PROXY header";
  }
  if (header.family == ProxyFamily::kUnknown) {
    if (transport > 2) return "an unknown transport in the PROXY header";
  } else if (transport != proxy::kStream) {
    return "a transport other than a stream in the PROXY header";
  }
  if (rest.size() < size) return "a PROXY header too short for its addresses";
  if (header.family == ProxyFamily::kIpv4) {
    address(0, 4, 8, header.source);
    address(4, 4, 10, header.destination);
  } else if (header.family == ProxyFamily::kIpv6) {
    address(0, 16, 32, header.source);
    address(16, 16, 34, header.destination);
  }
  rest = rest.subspan(size);
  return nullptr;
}

ProxyParsed ParseVersion2(Bytes wire) {
  const unsigned version_and_command = OctetAt(wire, 12);
  if (version_and_command >> 4 != proxy::kVersion2) {
    return Malformed("an unknown version in the PROXY header");
  }
  const unsigned command = version_and_command & 0xF;
  if (command != proxy::kCommandLocal && command != proxy::kCommandProxy) {
    return Malformed("an unknown command in the PROXY header");
  }
  if (wire.size() < proxy::kFixedPart) return {};
  const size_t total = proxy::kFixedPart + NumberAt(wire, 14);
  if (total > limits::kMaxProxyHeader) return Malformed("a PROXY header of more than 4,096 octets");
  if (wire.size() < total) return {};
  ProxyParsed parsed{State::kDone, total, {}, nullptr};
  // Section 2.2: the proxy's own connection (a health check); the rest is to be discarded.
  if (command == proxy::kCommandLocal) return parsed;
  const Bytes whole = wire.first(total);
  Bytes rest = whole.subspan(proxy::kFixedPart);
  const char* failure = ParseAddresses(OctetAt(wire, 13), rest, parsed.header);
  if (failure == nullptr) failure = ParseExtensions(whole, rest, parsed.header);
  return failure == nullptr ? parsed : Malformed(failure);
}

}  // namespace

ProxyParsed ParseProxyHeader(Bytes wire, ProxyAccepts accepts) {
  if (wire.empty()) return {};
  if (BeginsLike(wire, kLineStart)) {
    if (wire.size() < kLineStart.size()) return {};
    if (accepts == ProxyAccepts::kVersion2) {
      return Malformed("a PROXY line where version 2 is asked for");
    }
    return ParseVersion1(wire);
  }
  if (BeginsLike(wire, proxy::kSignature)) {
    if (wire.size() <= proxy::kSignature.size()) return {};
    if (accepts == ProxyAccepts::kVersion1) {
      return Malformed("a PROXY header of version 2 where version 1 is asked for");
    }
    return ParseVersion2(wire);
  }
  return Malformed("no PROXY header");
}

bool RepeatedHeader::Take(Bytes octets) {
  for (const char octet : AsText(octets)) {
    if (ruled_out_) return false;
    if (seen_ == 0) version2_ = octet == proxy::kSignature.front();
    const std::string_view start = version2_ ? proxy::kSignature : kLineStart;
    ruled_out_ = octet != start[seen_];
    if (!ruled_out_ && ++seen_ == start.size()) return true;
  }
  return false;
}

}  // namespace postern::mail
