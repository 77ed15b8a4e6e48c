// Writing the PROXY header: one piece, so that it leaves in one segment (the specification's
// section 2 asks for that), and no longer than all readers take.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstring>

#include "mail/crc32c.h"
#include "mail/proxy_wire.h"
#include "postern/base/limits.h"
#include "postern/mail/proxy_header.h"

namespace postern::mail {
namespace {

void Put(std::vector<std::byte>& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
void PutOctet(std::vector<std::byte>& out, size_t octet) {
  out.push_back(static_cast<std::byte>(octet));
}
void PutNumber(std::vector<std::byte>& out, size_t number) {
  PutOctet(out, number >> 8 & 0xFF);
  PutOctet(out, number & 0xFF);
}
void SetNumber(std::vector<std::byte>& out, size_t at, size_t number) {
  out[at] = static_cast<std::byte>(number >> 8 & 0xFF);
  out[at + 1] = static_cast<std::byte>(number & 0xFF);
}

std::string IpText(int family, const ProxyAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family, address.ip.data(), text, sizeof text);
  return text;
}

void WriteVersion1(const ProxyHeader& header, std::vector<std::byte>& out) {
  if (header.family != ProxyFamily::kIpv4 && header.family != ProxyFamily::kIpv6) {
    Put(out, AsBytes("PROXY UNKNOWN\r\n"));
    return;
  }
  const bool ipv4 = header.family == ProxyFamily::kIpv4;
  const int family = ipv4 ? AF_INET : AF_INET6;
  const std::string line =
      fmt::format("PROXY {} {} {} {} {}\r\n", ipv4 ? "TCP4" : "TCP6", IpText(family, header.source),
                  IpText(family, header.destination), header.source.port, header.destination.port);
  Put(out, AsBytes(line));
}

void PutText(std::vector<std::byte>& out, uint8_t type, std::string_view text) {
  if (text.empty()) return;
  PutOctet(out, type);
  PutNumber(out, text.size());
  Put(out, AsBytes(text));
}

size_t AddressSize(ProxyFamily family) {
  switch (family) {
    case ProxyFamily::kIpv4:
      return proxy::kInetSize;
    case ProxyFamily::kIpv6:
      return proxy::kInet6Size;
    case ProxyFamily::kUnknown:
    case ProxyFamily::kUnix:
      return 0;
  }
  return 0;
}

// Without the texts for which there is no room. Those that servers go by come first (Dovecot logs
// users in by the common name, and chooses settings by the name asked for), the long ones last.
ProxyHeader Fitting(const ProxyHeader& header) {
  constexpr size_t kSum = proxy::kTlvHeader + 4;
  ProxyHeader kept = header;
  size_t room =
      limits::kMaxWrittenProxyHeader - proxy::kFixedPart - AddressSize(kept.family) - kSum;
  const auto fit = [&room](std::string_view& text, size_t longest = limits::kMaxProxyText) {
    const size_t size = proxy::kTlvHeader + text.size();
    if (text.size() > longest || size > room) text = {};
    if (!text.empty()) room -= size;
  };
  ProxyTls none;
  ProxyTls& tls = kept.tls ? *kept.tls : none;
  if (kept.tls) room -= proxy::kTlvHeader + proxy::kSslFixedPart;
  fit(tls.common_name);
  fit(tls.version);
  fit(tls.cipher);
  fit(kept.unique_id, proxy::kMaxUniqueId);
  fit(kept.authority);
  fit(kept.alpn);
  fit(tls.fingerprint);
  fit(tls.signature_algorithm);
  fit(tls.key_algorithm);
  fit(tls.subject);
  fit(tls.issuer);
  return kept;
}

void PutTls(std::vector<std::byte>& out, const ProxyTls& tls) {
  const size_t start = out.size();
  PutOctet(out, proxy::kTypeSsl);
  PutNumber(out, 0);  // known at the end
  PutOctet(out, proxy::kClientSsl | (tls.certificate_on_connection ? proxy::kClientCertConn : 0) |
                    (tls.certificate_in_session ? proxy::kClientCertSess : 0));
  // Section 2.2.6: zero when a certificate was given and is good.
  PutNumber(out, 0);
  PutNumber(out, tls.verified ? 0 : 1);
  PutText(out, proxy::kTypeSslVersion, tls.version);
  PutText(out, proxy::kTypeSslCommonName, tls.common_name);
  PutText(out, proxy::kTypeSslCipher, tls.cipher);
  PutText(out, proxy::kTypeSslSignature, tls.signature_algorithm);
  PutText(out, proxy::kTypeSslKey, tls.key_algorithm);
  SetNumber(out, start + 1, out.size() - start - proxy::kTlvHeader);
}

void PutAddresses(const ProxyHeader& header, std::vector<std::byte>& out) {
  if (AddressSize(header.family) == 0) return;
  const size_t size = header.family == ProxyFamily::kIpv4 ? 4 : 16;
  Put(out, Bytes(header.source.ip).first(size));
  Put(out, Bytes(header.destination.ip).first(size));
  PutNumber(out, header.source.port);
  PutNumber(out, header.destination.port);
}

size_t FamilyOctet(ProxyFamily family) {
  switch (family) {
    case ProxyFamily::kIpv4:
      return proxy::kInet << 4 | proxy::kStream;
    case ProxyFamily::kIpv6:
      return proxy::kInet6 << 4 | proxy::kStream;
    case ProxyFamily::kUnknown:
    case ProxyFamily::kUnix:
      return proxy::kUnspec;
  }
  return proxy::kUnspec;
}

// The checksum is the last extension; until it is known its place holds zeros.
void PutSum(std::vector<std::byte>& out, size_t start) {
  PutOctet(out, proxy::kTypeCrc32c);
  PutNumber(out, 4);
  PutNumber(out, 0);
  PutNumber(out, 0);
  SetNumber(out, start + 14, out.size() - start - proxy::kFixedPart);
  const uint32_t sum = Crc32c(Bytes(out).subspan(start));
  SetNumber(out, out.size() - 4, sum >> 16);
  SetNumber(out, out.size() - 2, sum);
}

void WriteVersion2(const ProxyHeader& header, bool with_tls, std::vector<std::byte>& out) {
  const size_t start = out.size();
  Put(out, AsBytes(proxy::kSignature));
  PutOctet(out, proxy::kVersion2 << 4 | proxy::kCommandProxy);
  PutOctet(out, FamilyOctet(header.family));
  PutNumber(out, 0);  // known at the end
  PutAddresses(header, out);
  if (with_tls) {
    PutText(out, proxy::kTypeAlpn, header.alpn);
    PutText(out, proxy::kTypeAuthority, header.authority);
    PutText(out, proxy::kTypeUniqueId, header.unique_id);
    if (header.tls) {
      PutTls(out, *header.tls);
      PutText(out, proxy::kTypeCertificateSubject, header.tls->subject);
      PutText(out, proxy::kTypeCertificateIssuer, header.tls->issuer);
      PutText(out, proxy::kTypeCertificateSha256, header.tls->fingerprint);
    }
    PutSum(out, start);
  }
  SetNumber(out, start + 14, out.size() - start - proxy::kFixedPart);
}

}  // namespace

void WriteProxyHeader(const ProxyHeader& header, ProxyFormat format, std::vector<std::byte>& out) {
  switch (format) {
    case ProxyFormat::kVersion1:
      WriteVersion1(header, out);
      return;
    case ProxyFormat::kVersion2:
      WriteVersion2(header, false, out);
      return;
    case ProxyFormat::kVersion2Tls:
      WriteVersion2(Fitting(header), true, out);
      return;
  }
}

void WriteLocalProxyHeader(ProxyFormat format, std::vector<std::byte>& out) {
  if (format == ProxyFormat::kVersion1) {
    Put(out, AsBytes("PROXY TCP4 127.0.0.1 127.0.0.1 25 25\r\n"));
    return;
  }
  Put(out, AsBytes(proxy::kSignature));
  PutOctet(out, proxy::kVersion2 << 4 | proxy::kCommandLocal);
  PutOctet(out, proxy::kUnspec);
  PutNumber(out, 0);  // neither addresses nor extensions
}

}  // namespace postern::mail
