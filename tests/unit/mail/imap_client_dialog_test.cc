// IMAP before TLS, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/transcript.h"

namespace postern::mail {
namespace {

constexpr DialogRules kRequired{DialogProtocol::kImap, "imap.example.com", true};
constexpr DialogRules kOptional{DialogProtocol::kImap, "imap.example.com", false};

const std::string kGreeting =
    "S: * OK [CAPABILITY IMAP4rev1 ID STARTTLS LOGINDISABLED] imap.example.com ready\n";
const std::string kOptionalGreeting =
    "S: * OK [CAPABILITY IMAP4rev1 ID STARTTLS] imap.example.com ready\n";

}  // namespace

TEST_CASE("imap dialog: the usual way to TLS", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: 1 CAPABILITY
    S: * CAPABILITY IMAP4rev1 ID STARTTLS LOGINDISABLED
    S: 1 OK CAPABILITY completed
    C: 2 NOOP
    S: 2 OK NOOP completed
    C: 3 starttls
    S: 3 OK Begin TLS negotiation now
    = starttls
  )");
  Replay(kOptional, kOptionalGreeting + R"(
    C: a.1 capability
    S: * CAPABILITY IMAP4rev1 ID STARTTLS
    S: a.1 OK CAPABILITY completed
    C: a.2 STARTTLS
    S: a.2 OK Begin TLS negotiation now
    = starttls
  )");
}

TEST_CASE("imap dialog: LOGOUT", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: x LOGOUT
    S: * BYE Goodbye
    S: x OK LOGOUT completed
    = close quit
  )");
}

TEST_CASE("imap dialog: no password in the clear where TLS is required", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: 1 LOGIN user secret
    S: 1 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 2 login "user" "sec\\"ret"
    S: 2 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 3 AUTHENTICATE PLAIN
    S: 3 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 4 AUTHENTICATE PLAIN AGEAYg==
    S: 4 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 5 SELECT INBOX
    S: 5 BAD Unknown command, or not before login
    C: 6 STARTTLS
    S: 6 OK Begin TLS negotiation now
    = starttls
  )");
}

TEST_CASE("imap dialog: literals of refused commands", "[dialog]") {
  // A client that asks is told no, and does not send it.
  Replay(kRequired, kGreeting + R"(
    C: 1 LOGIN {4}
    S: 1 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 2 NOOP {1000000000}
    S: 2 BAD No argument belongs here
    C: 3 NOOP
    S: 3 OK NOOP completed
    = more
  )");
  // What a client sends without asking is data, whatever it looks like.
  Replay(kRequired, kGreeting + R"(
    C: 1 LOGIN {12+}
    C: 9 STARTTLS\r {8+}
    C: 9 LOGOUT
    S: 1 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 2 FOO {0+}
    C: {3+}
    C: 9 \n
    S: 2 BAD Unknown command, or not before login
    C: 3 LOGIN {15+}
    c: \0\r\n\r9 STARTTLS\n
    C:  x
    S: 3 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 4 NOOP
    S: 4 OK NOOP completed
    = more
  )");
}

TEST_CASE("imap dialog: what is no literal", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: 1 LOGIN "u {5+}
    S: 1 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 2 LOGIN {x+}
    S: 2 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 3 LOGIN {+}
    S: 3 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 4 LOGIN {-1+}
    S: 4 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 5 LOGIN {5+} 
    S: 5 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 6 LOGIN 5+}
    S: 6 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 7 LOGIN {}
    S: 7 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    C: 8 NOOP
    S: 8 OK NOOP completed
    = more
  )");
}

TEST_CASE("imap dialog: a literal that is on its way and too long ends the connection",
          "[dialog]") {
  for (const char* size : {"8192", "4294967295", "4294967296", "99999999999999999999999"}) {
    Replay(kRequired, kGreeting + "C: 1 LOGIN {" + size + "+}\nS: * BYE Line too long\n" +
                          "= close line-too-long\n");
    Replay(kRequired, kGreeting + "C: 1 ID ({" + size + "}\n" +
                          "S: 1 BAD ID takes NIL or a list of strings\n= more\n");
  }
}

TEST_CASE("imap dialog: ID", "[dialog]") {
  Replay(kRequired, kGreeting + R"x(
    C: 1 ID NIL
    S: * ID NIL
    S: 1 OK ID completed
    C: 2 id ("name" "Thunderbird" "version" nil)
    S: * ID NIL
    S: 2 OK ID completed
    C: 3 ID ()
    S: * ID NIL
    S: 3 OK ID completed
    C: 4 ID ("name" {4}
    S: + Go on
    C: a"b) x
    S: 4 BAD ID takes NIL or a list of strings
    C: 5 ID ({4}
    S: + Go on
    C: name {8+}
    C: c\r\nlient)
    S: * ID NIL
    S: 5 OK ID completed
    = more
  )x");
  for (const char* arguments :
       {"", " ", " x", " (", " )", " (NIL NIL)", " (\"a\")", " (\"a\" \"b\" )", " (\"a\" \"b\"x)",
        " (\"a\"\"b\")", " ( \"a\" \"b\")", " (\"a\" \"b\") x", " (\"a\" \"b)",
        " (\"a\" \"b\\\\x\")", " (\"a\" NILL)", " NIL NIL", " ({1} \"b\")"}) {
    Replay(kRequired, kGreeting + "C: 1 ID" + arguments +
                          "\nS: 1 BAD ID takes NIL or a list of strings\n= more\n");
  }
}

TEST_CASE("imap dialog: a client that goes on without TLS", "[dialog]") {
  Replay(kOptional, kOptionalGreeting + R"(
    C: 1 NOOP
    S: 1 OK NOOP completed
    c: 2 LOGIN {4}\r\n
    = plain 2 LOGIN {4}\r\n
  )");
  Replay(kOptional, kOptionalGreeting + R"(
    c: 1 authenticate PLAIN AGEAYg==\r\n2 STARTTLS\r\n
    = plain 1 authenticate PLAIN AGEAYg==\r\n2 STARTTLS\r\n
  )");
  Replay(kOptional, kOptionalGreeting + R"(
    C: 1 SELECT INBOX
    S: 1 BAD Unknown command, or not before login
    = more
  )");
}

TEST_CASE("imap dialog: bad tags and commands", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    c: \r\n
    S: * BAD Not a tag
    C:  NOOP
    S: * BAD Not a tag
    C: + NOOP
    S: * BAD Not a tag
    C: a*b NOOP
    S: * BAD Not a tag
    C: \xC3\xBC NOOP
    S: * BAD Not a tag
    C: a
    S: a BAD A command is missing
    C: a  NOOP
    S: a BAD A command is missing
    C: ] STARTTLS 
    S: ] BAD No argument belongs here
    C: b STARTTLS now
    S: b BAD No argument belongs here
    C: c NOOPE
    S: c BAD Unknown command, or not before login
    S: * BYE Too many errors
    = close too-many-errors
  )");
}

TEST_CASE("imap dialog: line ends", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    c: 1 NOOP\n
    S: 1 OK NOOP completed
    C: 2 NOOP\r3 NOOP
    S: * BAD Bare CR: lines end in CR LF
    C: 4 NOOP\0
    S: * BAD NUL in a line
    c: 5 LOGIN {6+}\n6 NOOP x\n
    S: 5 NO [PRIVACYREQUIRED] Encryption is needed first: use STARTTLS
    = more
  )");
}

TEST_CASE("imap dialog: browsers are not served, but their words are good tags", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: GET / HTTP/1.1
    S: * BYE This is a mail server, not a web server
    = close foreign
  )");
  Replay(kRequired, kGreeting + R"(
    C: GET NOOP
    S: GET OK NOOP completed
    = more
  )");
}

}  // namespace postern::mail
