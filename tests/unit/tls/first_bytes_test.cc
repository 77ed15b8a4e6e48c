#include "tls/first_bytes.h"

#include <string>
#include <vector>

#include "tests/unit/catch.h"

namespace postern::tls {
namespace {

using std::string_literals::operator""s;

struct Case {
  std::string wire;
  FirstBytes::Kind kind;
  HandshakeFailure failure = HandshakeFailure::kNone;
  std::string detail = {};
};

constexpr auto kNeedMore = FirstBytes::Kind::kNeedMore;
constexpr auto kTls = FirstBytes::Kind::kTls;
constexpr auto kRefused = FirstBytes::Kind::kRefused;

}  // namespace

TEST_CASE("First bytes tell what came", "[tls][first_bytes]") {
  const std::vector<Case> cases = {
      {"", kNeedMore},
      {"\x16", kNeedMore},
      {"\x16\x03", kNeedMore},
      {"\x16\x03\x01", kTls},
      {"\x16\x03\x01\x02\x00\x01"s, kTls},
      {"\x15\x03\x03\x00\x02\x02\x28"s, kTls},  // an alert: libssl answers it
      {"\x16\x02\x00"s, kRefused, HandshakeFailure::kNotTls,
       "the client sent octets that are not TLS (16 02 00)"},
      {"G", kNeedMore},
      {"PROPFIN", kNeedMore},
      {"GET / HTTP/1.1\r\nHost: x\r\n", kRefused, HandshakeFailure::kPlainHttp,
       "the client spoke HTTP without TLS (GET /)"},
      {"GET /", kRefused, HandshakeFailure::kPlainHttp,
       "the client spoke HTTP without TLS (GET /)"},
      {"GET /login?user=me&password=secret HTTP/1.1\r\n", kRefused, HandshakeFailure::kPlainHttp,
       "the client spoke HTTP without TLS (GET /login)"},
      {"POST ", kRefused, HandshakeFailure::kPlainHttp,
       "the client spoke HTTP without TLS (POST )"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", kRefused, HandshakeFailure::kPlainHttp,
       "the client spoke HTTP without TLS (PRI *)"},
      {"EHLO client.example\r\n", kRefused, HandshakeFailure::kPlainText,
       "the client spoke plain text without TLS (EHLO)"},
      {"PASS secret\r\n", kRefused, HandshakeFailure::kPlainText,
       "the client spoke plain text without TLS (PASS)"},
      {"a1 LOGIN me secret\r\n", kRefused, HandshakeFailure::kPlainText,
       "the client spoke plain text without TLS (a1 LOGIN)"},
      {"a1 capability\r\n", kRefused, HandshakeFailure::kPlainText,
       "the client spoke plain text without TLS (a1 capability)"},
      {"\r\n", kRefused, HandshakeFailure::kPlainText, "the client sent text without TLS"},
      {"\x80\x2e\x01\x00\x02\x00\x15"s, kRefused, HandshakeFailure::kSslv2,
       "the client speaks SSLv2 and nothing newer, which no policy can admit"},
      {"\x80\x2e\x01\x03\x01\x00\x15"s, kRefused, HandshakeFailure::kSslv2,
       "the client opens with an SSLv2-format ClientHello (for at most TLSv1), which is not "
       "accepted; policy = \"old\" accepts it"},
      {"\x80\x2e\x01\x03\x00"s, kRefused, HandshakeFailure::kSslv2,
       "the client opens with an SSLv2-format ClientHello (for at most SSLv3), which is not "
       "accepted; no policy can admit SSLv3"},
      {"\x80\x2e\x01\x03"s, kNeedMore},
      {"\x80", kNeedMore},
      {"\x80\x2e\x04"s, kRefused, HandshakeFailure::kNotTls,
       "the client sent octets that are not TLS (80 2e 04)"},
      {"\x80\x2e\x01\x07\x07"s, kRefused, HandshakeFailure::kNotTls,
       "the client sent octets that are not TLS (80 2e 01 07 07)"},
      {"\x00"s, kRefused, HandshakeFailure::kNotTls,
       "the client sent octets that are not TLS (00)"},
      {"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00"s, kRefused, HandshakeFailure::kNotTls,
       "the client sent octets that are not TLS (03 00 00 13 0e e0 00 00 ...)"},
  };
  for (const Case& c : cases) {
    INFO("first octets: " << c.wire);
    const FirstBytes judged = ClassifyFirstBytes(AsBytes(c.wire));
    CHECK(judged.kind == c.kind);
    CHECK(judged.failure == c.failure);
    CHECK(judged.detail == c.detail);
  }
}

TEST_CASE("An SSLv2-format ClientHello for TLS is left to libssl where it is accepted",
          "[tls][first_bytes]") {
  const auto judge = [](const std::string& wire) {
    return ClassifyFirstBytes(AsBytes(wire), true).kind;
  };
  CHECK(judge("\x80\x2e\x01\x03\x01"s) == kTls);
  CHECK(judge("\x80\x2e\x01\x03\x03"s) == kTls);
  CHECK(judge("\x80\x2e\x01\x03"s) == kNeedMore);
  CHECK(judge("\x80\x2e\x01\x03\x00"s) == kRefused);  // SSLv3 at most
  CHECK(judge("\x80\x2e\x01\x00\x02"s) == kRefused);  // SSLv2 itself
  CHECK(judge("\x80\x2e\x04"s) == kRefused);
}

TEST_CASE("Who speaks plain text is told which setting is for that", "[tls][first_bytes]") {
  const auto end_of = [](const std::string& wire, std::string_view service) {
    const std::string detail = ClassifyFirstBytes(AsBytes(wire), false, service).detail;
    return detail.substr(std::min(detail.find(')') + 1, detail.size()));
  };
  for (const char* service : {"imap", "pop3", "smtp", "submission", "lmtp", "sieve"}) {
    CHECK(end_of("NOOP\r\n", service) ==
          "; a listener for such clients has tls = \"starttls\", or \"auto\"");
    CHECK(end_of("GET / HTTP/1.1\r\n", service).empty());
  }
  for (const char* service : {"http", "raw"}) {
    CHECK(end_of("NOOP\r\n", service) == "; a listener for such clients has tls = \"auto\"");
    CHECK(end_of("GET / HTTP/1.1\r\n", service) ==
          "; a listener for such clients has tls = \"auto\"");
  }
}

TEST_CASE("What a peer sent is quoted to a bound", "[tls][first_bytes]") {
  const std::string request = "GET /" + std::string(5000, 'a') + " HTTP/1.1\r\n";
  CHECK(ClassifyFirstBytes(AsBytes(request)).detail.size() < 120);
  const std::string text = std::string(5000, 'a');
  CHECK(ClassifyFirstBytes(AsBytes(text)).detail.size() < 120);
}

TEST_CASE("A verdict on the whole is the verdict on its pieces", "[tls][first_bytes]") {
  // Octets that come one by one get no other failure than the same octets at once.
  for (const std::string& wire :
       {"GET / HTTP/1.1\r\n"s, "EHLO x\r\n"s, "\x16\x03\x01\x00\x05"s, "\x80\x2e\x01\x03\x01"s}) {
    const FirstBytes whole = ClassifyFirstBytes(AsBytes(wire));
    for (size_t size = 1; size <= wire.size(); ++size) {
      const FirstBytes part = ClassifyFirstBytes(AsBytes(wire).first(size));
      if (part.kind == kNeedMore) continue;
      CHECK(part.kind == whole.kind);
      CHECK(part.failure == whole.failure);
      break;
    }
  }
}

TEST_CASE("First bytes of a server tell what came", "[tls][first_bytes]") {
  const std::vector<Case> cases = {
      {"", kNeedMore},
      {"\x16", kNeedMore},
      {"\x16\x03", kNeedMore},
      {"\x16\x03\x03", kTls},
      {"\x15\x03\x01", kTls},
      {"\x16\x02\x00"s, kRefused, HandshakeFailure::kNotTls,
       "the server sent octets that are not TLS (16 02 00)"},
      {"2", kRefused, HandshakeFailure::kPlainText,
       "the server answered in plain text (2): its port wants tls = \"starttls\", or \"off\""},
      {"+OK ready\r\nmore", kRefused, HandshakeFailure::kPlainText,
       "the server answered in plain text (+OK ready): its port wants tls = \"starttls\", or "
       "\"off\""},
      {"HTTP/1.0 400 Bad Request\r\n", kRefused, HandshakeFailure::kPlainHttp,
       "the server answered in HTTP without TLS (HTTP/1.0 400 Bad Request)"},
      {"\x80\x01\x02"s, kRefused, HandshakeFailure::kNotTls,
       "the server sent octets that are not TLS (80 01 02)"},
  };
  for (const Case& test : cases) {
    CAPTURE(test.wire);
    const FirstBytes first = ClassifyServerBytes(AsBytes(test.wire), false);
    CHECK(first.kind == test.kind);
    CHECK(first.failure == test.failure);
    CHECK(first.detail == test.detail);
  }
  CHECK(ClassifyServerBytes(AsBytes("a BAD\r\n"), true).detail ==
        "the server went on in plain text (a BAD) where TLS had to begin");
  CHECK(ClassifyServerBytes(AsBytes(std::string(500, 'x')), false).detail.size() < 200);
}

}  // namespace postern::tls
