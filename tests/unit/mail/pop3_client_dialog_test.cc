// POP3 before TLS, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/transcript.h"

namespace postern::mail {
namespace {

constexpr DialogRules kRequired{DialogProtocol::kPop3, "pop.example.com", true};
constexpr DialogRules kOptional{DialogProtocol::kPop3, "pop.example.com", false};

}  // namespace

TEST_CASE("pop3 dialog: the usual way to TLS", "[dialog]") {
  Replay(kRequired, R"(
    S: +OK pop.example.com ready
    C: CAPA
    S: +OK Capability list follows
    S: STLS
    S: RESP-CODES
    S: AUTH-RESP-CODE
    S: .
    C: stls
    S: +OK Begin TLS negotiation now
    = starttls
  )");
  Replay(kOptional, R"(
    S: +OK pop.example.com ready
    C: capa 
    S: +OK Capability list follows
    S: STLS
    S: USER
    S: RESP-CODES
    S: AUTH-RESP-CODE
    S: .
    C: STLS
    S: +OK Begin TLS negotiation now
    = starttls
  )");
}

TEST_CASE("pop3 dialog: no password in the clear where TLS is required", "[dialog]") {
  Replay(kRequired, R"(
    S: +OK pop.example.com ready
    C: USER user
    S: -ERR [AUTH] Encryption is needed first: use STLS
    C: PASS secret word
    S: -ERR [AUTH] Encryption is needed first: use STLS
    C: APOP user c4c9334bac560ecc979e58001b3e22fb
    S: -ERR [AUTH] Encryption is needed first: use STLS
    C: AUTH PLAIN
    S: -ERR [AUTH] Encryption is needed first: use STLS
    C: AUTH
    S: -ERR [AUTH] Encryption is needed first: use STLS
    C: UTF8
    S: -ERR Encryption is needed first: use STLS
    C: LANG de
    S: -ERR Encryption is needed first: use STLS
    C: NOOP
    S: -ERR Unknown command, or not before login
    C: QUIT
    S: +OK Goodbye
    = close quit
  )");
}

TEST_CASE("pop3 dialog: a client that goes on without TLS", "[dialog]") {
  for (const char* line :
       {"USER user", "user", "AUTH PLAIN AGEAYg==", "UTF8", "UTF8 USER", "LANG", "lang de"}) {
    Replay(kOptional, std::string("S: +OK pop.example.com ready\nc: ") + line +
                          "\\r\\nPASS secret\\r\\n\n= plain " + line + "\\r\\nPASS secret\\r\\n\n");
  }
  Replay(kOptional, R"(
    S: +OK pop.example.com ready
    C: AUTH
    S: -ERR A mechanism is missing
    C: PASS secret
    S: -ERR USER comes first
    C: APOP user c4c9334bac560ecc979e58001b3e22fb
    S: -ERR There is no APOP here
    C: STAT
    S: -ERR Unknown command, or not before login
    C: STLS
    S: +OK Begin TLS negotiation now
    = starttls
  )");
}

TEST_CASE("pop3 dialog: bad lines", "[dialog]") {
  Replay(kRequired, R"(
    S: +OK pop.example.com ready
    c: \n
    S: -ERR Unknown command, or not before login
    C: STLS now
    S: -ERR No argument belongs here
    C: CAPA all
    S: -ERR No argument belongs here
    C: STLS\0
    S: -ERR NUL in a line
    C: CAPA\rSTLS
    S: -ERR Bare CR: lines end in CR LF
    C:  STLS
    S: -ERR Unknown command, or not before login
    c: QUIT\n
    S: +OK Goodbye
    = close quit
  )");
}

}  // namespace postern::mail
