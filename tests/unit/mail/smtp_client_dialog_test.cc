// SMTP and LMTP before TLS, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/transcript.h"

namespace postern::mail {
namespace {

DialogRules Smtp(bool require_tls) {
  return {DialogProtocol::kSmtp, "mx.example.com", require_tls};
}
DialogRules Lmtp(bool require_tls) {
  return {DialogProtocol::kLmtp, "mx.example.com", require_tls};
}

}  // namespace

TEST_CASE("smtp dialog: the usual way to TLS", "[dialog]") {
  for (const bool require_tls : {true, false}) {
    Replay(Smtp(require_tls), R"(
      S: 220 mx.example.com ESMTP
      C: EHLO client.example.org
      K: PIPELINING,SIZE 10240000,ETRN,ENHANCEDSTATUSCODES,8BITMIME,DSN,SMTPUTF8,CHUNKING
      S: 250-mx.example.com
      S: 250-PIPELINING
      S: 250-SIZE 10240000
      S: 250-ETRN
      S: 250-ENHANCEDSTATUSCODES
      S: 250-8BITMIME
      S: 250-DSN
      S: 250-SMTPUTF8
      S: 250-CHUNKING
      S: 250 STARTTLS
      C: STARTTLS
      S: 220 2.0.0 Ready to start TLS
      = starttls
    )");
  }
}

TEST_CASE("smtp dialog: keywords that are not passed on", "[dialog]") {
  Replay(Smtp(true), R"(
    S: 220 mx.example.com ESMTP
    C: EHLO [192.0.2.1]
    K: STARTTLS,SIZE,AUTH PLAIN LOGIN,AUTH=PLAIN,auth x,XCLIENT NAME ADDR,XFORWARD NAME,starttls,X-EXPS NTLM,X-ANONYMOUSTLS,REQUIRETLS,BINARYMIME,AUTHENTIC,bad\x0Aline,
    S: 250-mx.example.com
    S: 250-SIZE
    S: 250-BINARYMIME
    S: 250-AUTHENTIC
    S: 250 STARTTLS
    = more
  )");
}

TEST_CASE("smtp dialog: a back end that cannot be asked", "[dialog]") {
  Replay(Smtp(true), R"(
    S: 220 mx.example.com ESMTP
    C: EHLO x
    K: -
    S: 250-mx.example.com
    S: 250 STARTTLS
    = more
  )");
  Replay(Lmtp(true), R"(
    S: 220 mx.example.com LMTP
    C: LHLO x
    K: -
    S: 250-mx.example.com
    S: 250-PIPELINING
    S: 250-ENHANCEDSTATUSCODES
    S: 250 STARTTLS
    = more
  )");
}

TEST_CASE("smtp dialog: what is answered before TLS, whether it is required or not", "[dialog]") {
  for (const bool require_tls : {true, false}) {
    Replay(Smtp(require_tls), R"(
      S: 220 mx.example.com ESMTP
      C: helo client.example.org
      S: 250 mx.example.com
      C: NOOP
      S: 250 2.0.0 OK
      C: noop whatever that is
      S: 250 2.0.0 OK
      C: RSET
      S: 250 2.0.0 OK
      C: RSET now
      S: 501 5.5.4 No argument belongs here
      C: VRFY postmaster
      S: 252 2.5.0 Cannot verify the user, but mail for it will be tried
      C: VRFY
      S: 501 5.5.4 An argument is missing
      C: HELP
      S: 214 2.0.0 See RFC 5321 and RFC 3207
      C: HELP MAIL
      S: 214 2.0.0 See RFC 5321 and RFC 3207
      C: QUIT please
      S: 501 5.5.4 No argument belongs here
      C: quit  
      S: 221 2.0.0 Goodbye
      = close quit
    )");
  }
}

TEST_CASE("smtp dialog: STARTTLS out of place", "[dialog]") {
  for (const bool require_tls : {true, false}) {
    Replay(Smtp(require_tls), R"(
      S: 220 mx.example.com ESMTP
      C: STARTTLS
      S: 503 5.5.1 EHLO comes first
      C: HELO client.example.org
      S: 250 mx.example.com
      C: STARTTLS
      S: 503 5.5.1 EHLO comes first
      C: EHLO client.example.org
      K: SIZE
      S: 250-mx.example.com
      S: 250-SIZE
      S: 250 STARTTLS
      C: STARTTLS now
      S: 501 5.5.4 No argument belongs here
      C: starttls 
      S: 220 2.0.0 Ready to start TLS
      = starttls
    )");
  }
}

TEST_CASE("smtp dialog: the rest takes TLS where that is required", "[dialog]") {
  Replay(Smtp(true), R"(
    S: 220 mx.example.com ESMTP
    C: EHLO client.example.org
    K: -
    S: 250-mx.example.com
    S: 250 STARTTLS
    C: MAIL FROM:<a@example.org>
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: RCPT TO:<b@example.com>
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: DATA
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: AUTH PLAIN AGEAYg==
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: XCLIENT ADDR=192.0.2.1
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: LHLO x
    S: 500 5.5.1 Unknown command
    c: \r\n
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: QUIT
    S: 221 2.0.0 Goodbye
    = close quit
  )");
}

TEST_CASE("smtp dialog: a client that goes on without TLS", "[dialog]") {
  Replay(Smtp(false), R"(
    S: 220 mx.example.com ESMTP
    C: EHLO client.example.org
    K: PIPELINING
    S: 250-mx.example.com
    S: 250-PIPELINING
    S: 250 STARTTLS
    c: MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n
    = plain MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n
  )");
  // Internationalised addresses are the back end's to judge, and old clients say no EHLO.
  Replay(Smtp(false), R"(
    S: 220 mx.example.com ESMTP
    C: mail FROM:<\xC3\xBC@example.org> SMTPUTF8
    = plain mail FROM:<\xC3\xBC@example.org> SMTPUTF8\r\n
  )");
  for (const char* line : {"ETRN example.org", "EXPN staff"}) {
    Replay(Smtp(false), std::string("S: 220 mx.example.com ESMTP\nC: ") + line + "\n= plain " +
                            line + "\\r\\n\n");
  }
}

TEST_CASE("smtp dialog: what the back end hears of EHLO", "[dialog]") {
  const std::vector<std::optional<EhloKeywords>> keywords;
  Player player(Smtp(false), &keywords);
  CHECK(player.dialog().hello().empty());
  player.Feed("HELO Old.Example.ORG\r\n");
  CHECK(player.dialog().hello() == "Old.Example.ORG");
  CHECK_FALSE(player.dialog().extended_hello());
  player.Feed("EHLO [IPv6:2001:db8::1]\r\nMAIL FROM:<>\r\n");
  CHECK(player.End() == "plain MAIL FROM:<>\r\n");
  CHECK(player.dialog().hello() == "[IPv6:2001:db8::1]");
  CHECK(player.dialog().extended_hello());
}

TEST_CASE("smtp dialog: no password in the clear, required or not", "[dialog]") {
  Replay(Smtp(false), R"(
    S: 220 mx.example.com ESMTP
    C: AUTH PLAIN AGEAYg==
    S: 538 5.7.11 Encryption is needed first: use STARTTLS
    C: AUTH LOGIN
    S: 538 5.7.11 Encryption is needed first: use STARTTLS
    C: RCPT TO:<b@example.com>
    S: 503 5.5.1 MAIL comes first
    C: DATA
    S: 503 5.5.1 MAIL comes first
    C: BDAT 10 LAST
    S: 503 5.5.1 MAIL comes first
    C: MAIL
    S: 501 5.5.4 An argument is missing
    C: XCLIENT ADDR=192.0.2.1
    S: 500 5.5.1 Unknown command
    C: XFORWARD ADDR=192.0.2.1
    S: 500 5.5.1 Unknown command
    C:  MAIL FROM:<>
    S: 500 5.5.1 Unknown command
    C: LHLO x
    S: 500 5.5.1 Unknown command
    S: 421 4.7.0 Too many errors
    = close too-many-errors
  )");
}

TEST_CASE("smtp dialog: bad names", "[dialog]") {
  const std::string longest(255, 'h');
  Replay(Smtp(true), R"(
    S: 220 mx.example.com ESMTP
    C: EHLO
    S: 501 5.5.4 An argument is missing
    C: HELO 
    S: 501 5.5.4 An argument is missing
    C: EHLO b\xFCro
    S: 500 5.5.2 A character that is not ASCII
    C: EHLO a\x01b
    S: 500 5.5.2 A character that is not ASCII
    C: EHLO )" + longest +
                         R"(h
    S: 501 5.5.4 The name is too long
    C: HELO )" + longest +
                         R"(
    S: 250 mx.example.com
    = more
  )");
}

TEST_CASE("smtp dialog: only CR LF ends a line", "[dialog]") {
  // Whatever another reader would take for a line of its own is not carried out.
  Replay(Smtp(true), R"(
    S: 220 mx.example.com ESMTP
    c: NOOP\nQUIT\n
    S: 500 5.5.2 Bare LF: lines end in CR LF
    C: QUIT
    C: NOOP\rQUIT
    S: 500 5.5.2 Bare CR: lines end in CR LF
    C: NOOP\r
    S: 500 5.5.2 Bare CR: lines end in CR LF
    C: NOOP\0
    S: 500 5.5.2 NUL in a line
    C: \nNOOP\0\rQUIT
    S: 500 5.5.2 Bare LF: lines end in CR LF
    C: NOOP
    S: 250 2.0.0 OK
    = more
  )");
}

TEST_CASE("smtp dialog: browsers and TLS clients are not served", "[dialog]") {
  for (const char* line : {"GET / HTTP/1.1", "POST /cgi HTTP/1.0", "CONNECT mx:25 HTTP/1.1",
                           "PRI * HTTP/2.0", "GET /"}) {
    Replay(Smtp(true),
           std::string("S: 220 mx.example.com ESMTP\nC: ") + line +
               "\nS: 554 5.5.1 This is a mail server, not a web server\n= close foreign\n");
  }
  Replay(Smtp(true), R"(
    S: 220 mx.example.com ESMTP
    c: \x16\x03
    = close foreign
  )");
}

TEST_CASE("lmtp dialog", "[dialog]") {
  Replay(Lmtp(true), R"(
    S: 220 mx.example.com LMTP
    C: EHLO x
    S: 500 5.5.1 This is LMTP: say LHLO
    C: HELO x
    S: 500 5.5.1 This is LMTP: say LHLO
    C: STARTTLS
    S: 503 5.5.1 LHLO comes first
    C: LHLO relay.example.com
    K: PIPELINING,8BITMIME,AUTH PLAIN
    S: 250-mx.example.com
    S: 250-PIPELINING
    S: 250-8BITMIME
    S: 250 STARTTLS
    C: MAIL FROM:<>
    S: 530 5.7.0 Must issue a STARTTLS command first
    C: STARTTLS
    S: 220 2.0.0 Ready to start TLS
    = starttls
  )");
  Replay(Lmtp(false), R"(
    S: 220 mx.example.com LMTP
    C: LHLO relay.example.com
    K: -
    S: 250-mx.example.com
    S: 250-PIPELINING
    S: 250-ENHANCEDSTATUSCODES
    S: 250 STARTTLS
    C: MAIL FROM:<>
    = plain MAIL FROM:<>\r\n
  )");
}

}  // namespace postern::mail
