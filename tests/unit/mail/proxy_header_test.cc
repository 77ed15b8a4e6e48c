#include "postern/mail/proxy_header.h"

#include <string>
#include <string_view>
#include <vector>

#include "mail/crc32c.h"
#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

using State = ProxyParsed::State;
using namespace std::string_literals;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string Number(size_t number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number & 0xFF)};
}

// A header of version 2 with the right length.
std::string V2(unsigned char command, unsigned char family, const std::string& rest) {
  return kSignature + static_cast<char>(command) + static_cast<char>(family) + Number(rest.size()) +
         rest;
}

std::string Tlv(unsigned char type, const std::string& value) {
  return static_cast<char>(type) + Number(value.size()) + value;
}

const std::string kAddresses4 = "\xC0\x00\x02\x01\xC6\x33\x64\x02\xDC\x04\x03\xE1"s;
const std::string kAddresses6 =
    "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x02"s
    "\xDC\x04\x03\xE1"s;

// Appends the checksum as a sender does.
std::string WithSum(std::string header) {
  header += Tlv(3, "\0\0\0\0"s);
  header.replace(14, 2, Number(header.size() - 16));
  const uint32_t sum = Crc32c(AsBytes(header));
  header.replace(header.size() - 4, 4, Number(sum >> 16) + Number(sum & 0xFFFF));
  return header;
}

ProxyAddress Address4(std::array<unsigned char, 4> ip, uint16_t port) {
  ProxyAddress address;
  for (size_t i = 0; i < ip.size(); ++i) address.ip[i] = std::byte{ip[i]};
  address.port = port;
  return address;
}

ProxyAddress Address6(unsigned char last, uint16_t port) {
  ProxyAddress address;
  address.ip = {std::byte{0x20}, std::byte{0x01}, std::byte{0x0D}, std::byte{0xB8}};
  address.ip[15] = std::byte{last};
  address.port = port;
  return address;
}

const ProxyHeader kHeader4{.family = ProxyFamily::kIpv4,
                           .source = Address4({192, 0, 2, 1}, 56324),
                           .destination = Address4({198, 51, 100, 2}, 993)};
const ProxyHeader kHeader6{
    .family = ProxyFamily::kIpv6, .source = Address6(1, 56324), .destination = Address6(2, 993)};

ProxyHeader With(ProxyHeader header, std::string_view authority, std::string_view alpn = {},
                 std::string_view unique_id = {}, std::optional<ProxyTls> tls = {}) {
  header.authority = authority;
  header.alpn = alpn;
  header.unique_id = unique_id;
  header.tls = tls;
  return header;
}

struct Good {
  std::string wire;
  ProxyHeader header;
};

const std::vector<Good>& GoodHeaders() {
  static const std::vector<Good> headers = {
      {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 993\r\n", kHeader4},
      {"PROXY TCP6 2001:db8::1 2001:db8::2 56324 993\r\n", kHeader6},
      {"PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:db8::2 56324 993\r\n", kHeader6},
      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
       {ProxyFamily::kIpv4, Address4({255, 255, 255, 255}, 65535),
        Address4({255, 255, 255, 255}, 65535)}},
      {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", {ProxyFamily::kIpv4}},
      {"PROXY UNKNOWN\r\n", {}},
      {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
       {}},
      {"PROXY UNKNOWN anything  at all\r\n", {}},
      {V2(0x21, 0x11, kAddresses4), kHeader4},
      {V2(0x21, 0x21, kAddresses6), kHeader6},
      {V2(0x21, 0x31, std::string(216, 'u')), {ProxyFamily::kUnix}},
      {V2(0x21, 0x00, ""), {}},
      {V2(0x21, 0x00, Tlv(2, "a.example")), With({}, "a.example")},
      // LOCAL: the rest is not looked at.
      {V2(0x20, 0x00, ""), {}},
      {V2(0x20, 0x11, kAddresses4), {}},
      {V2(0x20, 0xFF, "garbage"), {}},
      {V2(0x21, 0x11, kAddresses4 + Tlv(2, "mail.example.com") + Tlv(1, "imap") + Tlv(5, "id\r\n")),
       With(kHeader4, "mail.example.com", "imap", "id\r\n")},
      // What nobody knows, and padding, is passed over.
      {V2(0x21, 0x11,
          kAddresses4 + Tlv(4, "\0\0"s) + Tlv(4, "") + Tlv(0xEA, "vpce") + Tlv(0xEA, "twice")),
       kHeader4},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0xE0, std::string(4096 - 16 - 12 - 3, 'x'))), kHeader4},
      {WithSum(V2(0x21, 0x11, kAddresses4)), kHeader4},
      {WithSum(V2(0x21, 0x21, kAddresses6 + Tlv(2, "x"))), With(kHeader6, "x")},
      {V2(0x21, 0x11,
          kAddresses4 +
              Tlv(0x20, "\x07\0\0\0\0"s + Tlv(0x21, "TLSv1.3") + Tlv(0x22, "alice") +
                            Tlv(0x23, "TLS_AES_128_GCM_SHA256") + Tlv(0x24, "ecdsa-with-SHA256") +
                            Tlv(0x25, "EC256") + Tlv(0x2F, "later"))),
       With(kHeader4, "", "", "",
            ProxyTls{true, true, true, "TLSv1.3", "alice", "TLS_AES_128_GCM_SHA256",
                     "ecdsa-with-SHA256", "EC256"})},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\x03\0\0\0\x12"s)),
       With(kHeader4, "", "", "", ProxyTls{.certificate_on_connection = true})},
      // Nothing was verified where no certificate was given.
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\x01\0\0\0\0"s)),
       With(kHeader4, "", "", "", ProxyTls{})},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\0\0\0\0\0"s)), kHeader4},
  };
  return headers;
}

struct Bad {
  std::string wire;
  const char* words;  // part of the failure
};

const std::vector<Bad>& BadHeaders() {
  const std::string line = "PROXY TCP4 192.0.2.1 198.51.100.2 ";
  static const std::vector<Bad> headers = {
      {"GET / HTTP/1.1\r\n", "no PROXY header"},
      {"\x16\x03\x01\x02", "no PROXY header"},
      {"proxy TCP4", "no PROXY header"},
      {"PROXY\tTCP4", "no PROXY header"},
      {"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "family"},
      {"PROXY \r\n", "family"},
      {"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", "family"},
      {"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", "family"},
      {"PROXY TCP4\r\n", "address"},
      {"PROXY TCP4 \r\n", "address"},
      {"PROXY TCP4 192.0.2.1\r\n", "address"},
      {"PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n", "address"},
      {"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", "address"},
      {"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", "address"},
      {"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n", "address"},
      {"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "address"},
      {"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "address"},
      {"PROXY TCP6 2001:db8::1::2 2001:db8::2 1 2\r\n", "address"},
      {"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n", "address"},
      {"PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n"s, "address"},
      {line + "1\r\n", "port"},
      {line + "1 \r\n", "port"},
      {line + "1 65536\r\n", "port"},
      {line + "-1 2\r\n", "port"},
      {line + "+1 2\r\n", "port"},
      {line + "01 2\r\n", "port"},
      {line + "1 0x2\r\n", "port"},
      {line + "1 2x\r\n", "port"},
      {line + "1\r 2\r\n", "port"},
      {line + "1 2 \r\n", "more words"},
      {line + "1 2 3\r\n", "more words"},
      {line + "1 2\n", "without CR"},
      {"PROXY UNKNOWN\n", "without CR"},
      {"PROXY UNKNOWN" + std::string(93, ' ') + "\r\n", "107"},
      {"PROXY " + std::string(101, 'x'), "107"},
      {kSignature + "\x11\x11\0\x0C"s + kAddresses4, "version"},
      {kSignature + "\x31", "version"},
      {V2(0x22, 0x11, kAddresses4), "command"},
      {V2(0x2F, 0x11, kAddresses4), "command"},
      {V2(0x21, 0x41, kAddresses4), "family"},
      {V2(0x21, 0xF1, kAddresses4), "family"},
      {V2(0x21, 0x12, kAddresses4), "transport"},
      {V2(0x21, 0x10, kAddresses4), "transport"},
      {V2(0x21, 0x1F, kAddresses4), "transport"},
      {V2(0x21, 0x03, ""), "transport"},
      {V2(0x21, 0x11, kAddresses4.substr(1)), "too short"},
      {V2(0x21, 0x21, kAddresses4), "too short"},
      {V2(0x21, 0x31, std::string(215, 'u')), "too short"},
      {kSignature + "\x21\x11\x0F\xF1"s, "4,096"},  // at once, without waiting for it
      {kSignature + "\x20\x11\xFF\xFF"s, "4,096"},
      {V2(0x21, 0x11, kAddresses4 + "\x02"s), "beyond"},
      {V2(0x21, 0x11, kAddresses4 + "\x02\0"s), "beyond"},
      {V2(0x21, 0x11,
          kAddresses4 + "\x02\0\x05"
                        "abcd"s),
       "beyond"},
      {V2(0x21, 0x11, kAddresses4 + "\xEE\xFF\xFF"s), "beyond"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(2, "a") + Tlv(2, "b")), "twice"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\1\0\0\0\0"s) + Tlv(0x20, "\1\0\0\0\0"s)), "twice"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(5, std::string(129, 'i'))), "unique ID"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(3, "\1\2\3\4")), "checksum"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(3, "\0\0\0\0"s)), "checksum"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(3, "\0\0\0"s)), "checksum"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\1\0\0\0"s)), "TLS extension"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\1\0\0\0\0\x21\0"s)), "TLS extension"},
      {V2(0x21, 0x11, kAddresses4 + Tlv(0x20, "\1\0\0\0\0\x21\0\5TLSv"s)), "TLS extension"},
  };
  return headers;
}

// The shortest front of `wire` that has a verdict; every longer one must have the same, with the
// same place where the header ends.
ProxyParsed ParseEachFront(const std::string& wire, ProxyAccepts accepts) {
  ProxyParsed verdict;
  for (size_t size = 0; size <= wire.size(); ++size) {
    const ProxyParsed now = ParseProxyHeader(AsBytes(wire).first(size), accepts);
    if (verdict.state != State::kNeedMore) {
      CHECK(now.state == verdict.state);
      CHECK(now.consumed == verdict.consumed);
      CHECK(now.header == verdict.header);
    }
    verdict = now;
  }
  return verdict;
}

}  // namespace

TEST_CASE("proxy header: what is said is read, octet by octet too") {
  for (const Good& good : GoodHeaders()) {
    CAPTURE(good.wire);
    for (size_t size = 0; size < good.wire.size(); ++size) {
      CHECK(ParseProxyHeader(AsBytes(good.wire).first(size), ProxyAccepts::kAny).state ==
            State::kNeedMore);
    }
    // What follows belongs to the client, whatever it is; so does a second header.
    for (const std::string& behind : {""s, "\x16\x03\x01"s, "\r\n"s, good.wire}) {
      const std::string wire = good.wire + behind;
      const ProxyParsed parsed = ParseEachFront(wire, ProxyAccepts::kAny);
      REQUIRE(parsed.state == State::kDone);
      CHECK(parsed.consumed == good.wire.size());
      CHECK(parsed.header == good.header);
      CHECK(parsed.failure == nullptr);
    }
  }
}

TEST_CASE("proxy header: what the specification forbids is malformed, in any pieces") {
  for (const Bad& bad : BadHeaders()) {
    CAPTURE(bad.wire, bad.words);
    for (const std::string& behind : {""s, "\r\n"s, std::string(300, 'x')}) {
      const ProxyParsed parsed = ParseEachFront(bad.wire + behind, ProxyAccepts::kAny);
      REQUIRE(parsed.state == State::kMalformed);
      CHECK(std::string(parsed.failure).find(bad.words) != std::string::npos);
    }
  }
}

TEST_CASE("proxy header: a wrong bit anywhere is seen by the checksum") {
  const std::string good =
      WithSum(V2(0x21, 0x11, kAddresses4 + Tlv(2, "mail.example.com") + Tlv(0xE1, "cloud")));
  REQUIRE(ParseProxyHeader(AsBytes(good), ProxyAccepts::kAny).state == State::kDone);
  // From the addresses to the end of what is summed; in front of it and in the lengths a change
  // makes another header.
  for (size_t at = 16; at < 28; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string wrong = good;
      wrong[at] = static_cast<char>(wrong[at] ^ (1 << bit));
      const ProxyParsed parsed = ParseProxyHeader(AsBytes(wrong), ProxyAccepts::kAny);
      REQUIRE(parsed.state == State::kMalformed);
      CHECK(std::string(parsed.failure).find("checksum") != std::string::npos);
    }
  }
}

TEST_CASE("proxy header: a listener takes the version that it asks for") {
  for (const Good& good : GoodHeaders()) {
    const bool line = good.wire.starts_with("PROXY");
    CAPTURE(good.wire);
    CHECK(ParseEachFront(good.wire, ProxyAccepts::kVersion1).state ==
          (line ? State::kDone : State::kMalformed));
    CHECK(ParseEachFront(good.wire, ProxyAccepts::kVersion2).state ==
          (line ? State::kMalformed : State::kDone));
  }
}

namespace {

std::string Written(const ProxyHeader& header, ProxyFormat format) {
  std::vector<std::byte> out = {std::byte{'>'}};
  WriteProxyHeader(header, format, out);
  REQUIRE(AsText(out).front() == '>');  // it appends
  return std::string(AsText(out).substr(1));
}

}  // namespace

TEST_CASE("proxy header: what is written is what the specification shows") {
  CHECK(Written(kHeader4, ProxyFormat::kVersion1) ==
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 993\r\n");
  CHECK(Written(kHeader6, ProxyFormat::kVersion1) ==
        "PROXY TCP6 2001:db8::1 2001:db8::2 56324 993\r\n");
  CHECK(Written({}, ProxyFormat::kVersion1) == "PROXY UNKNOWN\r\n");
  CHECK(Written({ProxyFamily::kUnix}, ProxyFormat::kVersion1) == "PROXY UNKNOWN\r\n");
  CHECK(Written(kHeader4, ProxyFormat::kVersion2) == V2(0x21, 0x11, kAddresses4));
  CHECK(Written(kHeader6, ProxyFormat::kVersion2) == V2(0x21, 0x21, kAddresses6));
  CHECK(Written({ProxyFamily::kUnix}, ProxyFormat::kVersion2) == V2(0x21, 0x00, ""));
  CHECK(Written({}, ProxyFormat::kVersion2Tls) == WithSum(V2(0x21, 0x00, "")));
  const ProxyHeader with = With(kHeader4, "mail.example.com", "imap", "0123",
                                ProxyTls{.version = "TLSv1.3", .cipher = "X"});
  CHECK(Written(with, ProxyFormat::kVersion2) == V2(0x21, 0x11, kAddresses4));
  CHECK(Written(with, ProxyFormat::kVersion2Tls) ==
        WithSum(V2(0x21, 0x11,
                   kAddresses4 + Tlv(1, "imap") + Tlv(2, "mail.example.com") + Tlv(5, "0123") +
                       Tlv(0x20, "\1\0\0\0\1"s + Tlv(0x21, "TLSv1.3") + Tlv(0x23, "X")))));
}

TEST_CASE("proxy header: a proxy's own connection is LOCAL, in version 1 a near one") {
  std::vector<std::byte> out;
  WriteLocalProxyHeader(ProxyFormat::kVersion2, out);
  CHECK(AsText(out) == V2(0x20, 0x00, ""));
  out.clear();
  WriteLocalProxyHeader(ProxyFormat::kVersion2Tls, out);
  CHECK(AsText(out) == V2(0x20, 0x00, ""));
  out.clear();
  WriteLocalProxyHeader(ProxyFormat::kVersion1, out);
  const ProxyParsed parsed = ParseProxyHeader(out, ProxyAccepts::kVersion1);
  REQUIRE(parsed.state == State::kDone);
  CHECK(parsed.consumed == out.size());
  CHECK(parsed.header.source.ip[0] == std::byte{127});
}

TEST_CASE("proxy header: every header comes back as it was written") {
  for (const Good& good : GoodHeaders()) {
    ProxyHeader header = good.header;
    if (header.family == ProxyFamily::kUnix) header.family = ProxyFamily::kUnknown;
    CAPTURE(good.wire);
    const std::string whole = Written(header, ProxyFormat::kVersion2Tls);
    const ProxyParsed parsed = ParseProxyHeader(AsBytes(whole), ProxyAccepts::kVersion2);
    REQUIRE(parsed.state == State::kDone);
    CHECK(parsed.consumed == whole.size());
    CHECK(parsed.header == header);
    for (const ProxyFormat format : {ProxyFormat::kVersion1, ProxyFormat::kVersion2}) {
      const std::string wire = Written(header, format);
      const ProxyParsed bare = ParseProxyHeader(AsBytes(wire), ProxyAccepts::kAny);
      REQUIRE(bare.state == State::kDone);
      CHECK(bare.consumed == wire.size());
      CHECK(bare.header == ProxyHeader{header.family, header.source, header.destination});
    }
  }
}

TEST_CASE("proxy header: texts of any length leave a header that every reader takes") {
  for (const ProxyHeader& addresses : {kHeader4, kHeader6}) {
    for (size_t size = 0; size < 600; ++size) {
      const std::string text(size, 't');
      CAPTURE(size);
      ProxyHeader header = With(addresses, text, text, text,
                                ProxyTls{true, true, true, text, text, text, text, text});
      header.tls->subject = header.tls->issuer = header.tls->fingerprint = text;
      const std::string wire = Written(header, ProxyFormat::kVersion2Tls);
      CHECK(wire.size() <= limits::kMaxWrittenProxyHeader);
      const ProxyParsed parsed = ParseProxyHeader(AsBytes(wire), ProxyAccepts::kAny);
      REQUIRE(parsed.state == State::kDone);
      REQUIRE(parsed.header.tls);
      CHECK(parsed.header.tls->certificate_in_session);
      CHECK(parsed.header.tls->common_name == (size <= limits::kMaxProxyText ? text : ""));
      if (size > limits::kMaxProxyText) CHECK(wire.size() < 80);
    }
  }
}

TEST_CASE("proxy header: what has no room is left out whole, the least needed first") {
  const std::string name(200, 'n');
  const std::string subject(150, 's');
  const std::string issuer(150, 'i');
  ProxyHeader header = With(kHeader6, name, "imap", "0123", ProxyTls{.version = "TLSv1.3"});
  header.tls->common_name = "alice";
  header.tls->fingerprint = "f00d";
  header.tls->subject = subject;
  header.tls->issuer = issuer;
  const std::string wire = Written(header, ProxyFormat::kVersion2Tls);
  CHECK(wire.find(subject) != std::string::npos);
  CHECK(wire.find("f00d") != std::string::npos);
  CHECK(wire.find('i' + std::string(10, 'i')) == std::string::npos);
  const ProxyParsed parsed = ParseProxyHeader(AsBytes(wire), ProxyAccepts::kAny);
  REQUIRE(parsed.state == State::kDone);
  CHECK(parsed.header.authority == name);
  CHECK(parsed.header.tls->common_name == "alice");
  // To the last octet.
  const size_t room = limits::kMaxWrittenProxyHeader - wire.size() - 3;
  header.tls->issuer = std::string_view(issuer).substr(0, room);
  CHECK(Written(header, ProxyFormat::kVersion2Tls).size() == limits::kMaxWrittenProxyHeader);
  header.tls->issuer = std::string_view(issuer).substr(0, room + 1);
  CHECK(Written(header, ProxyFormat::kVersion2Tls) == wire);
}

TEST_CASE("proxy header: whose the client's certificate is stands in extensions of our own") {
  ProxyHeader header;
  header.tls = ProxyTls{.version = "TLSv1.3"};
  header.tls->subject = "CN=alice";
  header.tls->issuer = "CN=clients";
  header.tls->fingerprint = "0123";
  std::vector<std::byte> wire;
  WriteProxyHeader(header, ProxyFormat::kVersion2Tls, wire);
  const std::string_view text = AsText(wire);
  CHECK(text.find(std::string("\xE0\0\x08"
                              "CN=alice",
                              11)) != std::string_view::npos);
  CHECK(text.find(std::string("\xE1\0\x0A"
                              "CN=clients",
                              13)) != std::string_view::npos);
  CHECK(text.find(std::string("\xE2\0\x04"
                              "0123",
                              7)) != std::string_view::npos);
  CHECK(ParseProxyHeader(wire, ProxyAccepts::kAny).state == ProxyParsed::State::kDone);
}

TEST_CASE(
    "proxy header: a second one is seen at its beginning, however it is cut, and nothing else is") {
  const std::string kVersion2("\r\n\r\n\0\r\nQUIT\n", 12);
  for (const std::string& start : {std::string("PROXY "), kVersion2}) {
    for (size_t cut = 0; cut <= start.size(); ++cut) {
      RepeatedHeader repeated;
      CHECK(repeated.Take(AsBytes(start.substr(0, cut))) == (cut == start.size()));
      CHECK_FALSE(repeated.ruled_out());
      if (cut == start.size()) continue;
      CHECK(repeated.Take(AsBytes(start.substr(cut) + "x")));
      RepeatedHeader other;
      CHECK_FALSE(other.Take(AsBytes(start.substr(0, cut) + "x" + start)));
      CHECK(other.ruled_out());
      CHECK_FALSE(other.Take(AsBytes(start)));
    }
  }
}

}  // namespace postern::mail
