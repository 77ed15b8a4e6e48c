#include "postern/mail/http_redirect.h"

#include <string>
#include <string_view>
#include <vector>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

using State = HttpRedirect::State;
using namespace std::string_literals;

const RedirectRules kRules{443, "web.example.com", std::nullopt};

// The verdict on `request` (after which nothing may change it), given whole and octet by octet.
HttpRedirect Judge(const std::string& request, const RedirectRules& rules = kRules) {
  const HttpRedirect verdict = RedirectToHttps(AsBytes(request), rules);
  for (size_t size = 0; size < request.size(); ++size) {
    const std::vector<char> exact(request.begin(), request.begin() + static_cast<ptrdiff_t>(size));
    const HttpRedirect front = RedirectToHttps(AsBytes({exact.data(), exact.size()}), rules);
    if (front.state == State::kNeedMore) {
      REQUIRE(front.reply.empty());
      continue;
    }
    REQUIRE(front.state == verdict.state);
    REQUIRE(front.reply == verdict.reply);
  }
  return verdict;
}

std::string Header(const HttpRedirect& verdict, const std::string& name) {
  const size_t at = verdict.reply.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const size_t from = at + name.size() + 4;
  return verdict.reply.substr(from, verdict.reply.find("\r\n", from) - from);
}

std::string Body(const HttpRedirect& verdict) {
  return verdict.reply.substr(verdict.reply.find("\r\n\r\n") + 4);
}

std::string LocationOf(const std::string& request, const RedirectRules& rules = kRules) {
  const HttpRedirect verdict = Judge(request, rules);
  INFO(request);
  REQUIRE(verdict.state == State::kRedirect);
  return Header(verdict, "Location");
}

}  // namespace

TEST_CASE("http redirect: to the same address with https") {
  const HttpRedirect verdict =
      Judge("GET /mail/?q=1 HTTP/1.1\r\nHost: web.example.org\r\nUser-Agent: x\r\n\r\n");
  CHECK(verdict.state == State::kRedirect);
  CHECK(verdict.reply ==
        "HTTP/1.1 301 Moved Permanently\r\n"
        "Location: https://web.example.org/mail/?q=1\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 45\r\n"
        "Connection: close\r\n"
        "\r\n"
        "This address is served over TLS: use https.\r\n");
}

TEST_CASE("http redirect: the port is the listener's, not the one that came") {
  const std::string request = "GET / HTTP/1.1\r\nhost:  [2001:db8::1]:8080\t\r\n\r\n";
  CHECK(LocationOf(request) == "https://[2001:db8::1]/");
  CHECK(LocationOf(request, {8443, "", std::nullopt}) == "https://[2001:db8::1]:8443/");
  CHECK(LocationOf("GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n") == "https://a.example/");
  CHECK(LocationOf("GET / HTTP/1.1\r\nHost: 192.0.2.1:\r\n\r\n") == "https://192.0.2.1/");
}

TEST_CASE("http redirect: other methods keep theirs") {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "get"}) {
    const HttpRedirect verdict =
        Judge(method + " /dav HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"s);
    CHECK(verdict.state == State::kRedirect);
    CHECK(verdict.reply.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"));
    CHECK(Header(verdict, "Location") == "https://a.example/dav");
  }
  const HttpRedirect head = Judge("HEAD /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
  CHECK(head.reply.starts_with("HTTP/1.1 301 Moved Permanently\r\n"));
  CHECK(Header(head, "Content-Length") == "45");
  CHECK(Body(head).empty());
}

TEST_CASE("http redirect: the length of the body is right") {
  const HttpRedirect redirect = Judge("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  CHECK(Header(redirect, "Content-Length") == std::to_string(Body(redirect).size()));
  const HttpRedirect refused = Judge("GET / HTTP/1.1\r\n\r\n");
  CHECK(Header(refused, "Content-Length") == std::to_string(Body(refused).size()));
}

TEST_CASE("http redirect: the date") {
  RedirectRules rules = kRules;
  const std::string request = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
  // RFC 9110 section 5.6.7's example.
  rules.now = std::chrono::sys_seconds(std::chrono::seconds(784111777));
  CHECK(Header(Judge(request, rules), "Date") == "Sun, 06 Nov 1994 08:49:37 GMT");
  rules.now = std::chrono::sys_seconds(std::chrono::seconds(1709164800));
  CHECK(Header(Judge(request, rules), "Date") == "Thu, 29 Feb 2024 00:00:00 GMT");
}

TEST_CASE("http redirect: without a Host") {
  CHECK(LocationOf("GET /a HTTP/1.0\r\n\r\n") == "https://web.example.com/a");
  CHECK(LocationOf("GET /a HTTP/1.0\r\nHost: b.example\r\n\r\n") == "https://b.example/a");
  CHECK(LocationOf("GET /a HTTP/1.1\r\nHost:\r\n\r\n") == "https://web.example.com/a");
  const RedirectRules nameless{443, "", std::nullopt};
  CHECK(Judge("GET /a HTTP/1.0\r\n\r\n", nameless).state == State::kRefused);
  CHECK(Judge("GET /a HTTP/1.1\r\nHost:\r\n\r\n", nameless).state == State::kRefused);
  CHECK(Judge("GET /a HTTP/1.1\r\n\r\n").state == State::kRefused);
}

TEST_CASE("http redirect: what is no path becomes the root") {
  for (const char* target :
       {"*", "http://evil.example/x", "https://a.example", "evil.example:443", "x", "?x"}) {
    CHECK(LocationOf("OPTIONS "s + target + " HTTP/1.1\r\nHost: a.example\r\n\r\n") ==
          "https://a.example/");
  }
}

TEST_CASE("http redirect: a path that leads elsewhere does not") {
  // Behind the host each of these is a path.
  CHECK(LocationOf("GET //evil.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n") ==
        "https://a.example//evil.example/x");
  CHECK(LocationOf("GET /\\evil.example HTTP/1.1\r\nHost: a.example\r\n\r\n") ==
        "https://a.example/%5Cevil.example");
  CHECK(LocationOf("GET /@evil.example HTTP/1.1\r\nHost: a.example\r\n\r\n") ==
        "https://a.example/@evil.example");
}

TEST_CASE("http redirect: what may not stand in an address is encoded") {
  CHECK(LocationOf("GET /\xC3\xBC<script>\"'{}^`#\x01\x7F\t%41?a|b[0]=1 HTTP/1.1\r\nHost: "
                   "a.example\r\n\r\n") ==
        "https://a.example/%C3%BC%3Cscript%3E%22'%7B%7D%5E%60%23%01%7F%09%41?a|b[0]=1");
}

TEST_CASE("http redirect: nothing of the request is in a body") {
  for (const char* request :
       {"GET /<script> HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /<script> HTTP/1.1\r\nHost: <script>\r\n\r\n", "<script> / HTTP/1.1\r\n\r\n"}) {
    CHECK(Judge(request).reply.find("<script>") == std::string::npos);
  }
}

TEST_CASE("http redirect: what is refused") {
  for (const std::string& host :
       {"a b"s, "a/b"s, "user@a.example"s, "a.example:80:80"s, "a.example:x"s, "a.example:123456"s,
        "[::1"s, "[]"s, "[::1]x"s, "[g]"s, "::1"s, "a\\b"s, "a,b"s, "\xC3\xBC.example"s, "a%2Fb"s,
        "a\tb"s, std::string(254, 'a')}) {
    INFO(host);
    const HttpRedirect verdict = Judge("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    CHECK(verdict.state == State::kRefused);
    CHECK(verdict.reply.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    CHECK(Header(verdict, "Location").empty());
    CHECK(Header(verdict, "Connection") == "close");
  }
  for (const std::string& request :
       {"GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n"s,
        "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"s,
        "GET / HTTP/1.1\r\nHost: a.example\r\n folded\r\n\r\n"s,
        "GET / HTTP/1.1\r\nno colon\r\n\r\n"s,
        "GET / HTTP/1.1\r\n: x\r\n\r\n"s,
        "GET /\r\n"s,
        "GET\r\n"s,
        "\r\n"s,
        "GET  / HTTP/1.1\r\n"s,
        "GET / HTTP/1.1 \r\n"s,
        "GET / HTTP/2.0\r\n"s,
        "PRI * HTTP/2.0\r\n"s,
        "GET / http/1.1\r\n"s,
        "GET / HTTP/1.x\r\n"s,
        "G@T / HTTP/1.1\r\n"s,
        " GET / HTTP/1.1\r\n"s,
        "CONNECT a.example:443 HTTP/1.1\r\n"s,
        "GET / HTTP/1.1\nHost: a.example\n\n"s,
        "GET / HTTP/1.1\r\nHost: a.example\r\n\n"s,
        "GET / HTTP/1.1\r\nHost: a.exa\rmple\r\n\r\n"s,
        "GET / HTTP/1.1\r\nHost: a.example\0.b\r\n\r\n"s}) {
    INFO(request);
    CHECK(Judge(request).state == State::kRefused);
    CHECK(Judge(request).reply.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  }
}

TEST_CASE("http redirect: a request that has not ended") {
  for (const char* request :
       {"", "G", "GET / HTTP/1.1", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\nHost: a.example\r\n\r"}) {
    CHECK(Judge(request).state == State::kNeedMore);
  }
}

TEST_CASE("http redirect: the head has a bound") {
  std::string request = "GET / HTTP/1.1\r\nHost: a.example\r\nCookie: ";
  request.resize(limits::kMaxHttpHead - 4, 'c');
  CHECK(Judge(request + "\r\n\r\n").state == State::kRedirect);
  const HttpRedirect verdict = Judge(request + "c\r\n\r\n");
  CHECK(verdict.state == State::kRefused);
  CHECK(verdict.reply.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
}

}  // namespace postern::mail
