// IMAP towards a server, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/backend_transcript.h"

namespace postern::mail {
namespace {

BackendRules Rules(bool starttls, bool identify, bool greet_client = true) {
  BackendRules rules{.protocol = DialogProtocol::kImap, .host_name = "front.example.com"};
  rules.starttls = starttls;
  rules.identify = identify;
  rules.greet_client = greet_client;
  rules.client = {.address = "192.0.2.7",
                  .port = 4711,
                  .local_address = "203.0.113.1",
                  .local_port = 993,
                  .session_id = "s1"};
  return rules;
}

}  // namespace

TEST_CASE("imap back end: TLS by STARTTLS, capabilities are asked for anew", "[dialog]") {
  Replay(Rules(true, false), R"(
    S: * OK [CAPABILITY IMAP4rev1 ID STARTTLS LOGINDISABLED] Dovecot ready.
    P: P1 STARTTLS
    S: P1 OK Begin TLS negotiation now.
    TLS:
    P: P2 CAPABILITY
    S: * capability IMAP4rev1 ID AUTH=PLAIN
    S: P2 OK done
    G: * OK [CAPABILITY IMAP4rev1 ID AUTH=PLAIN] Dovecot ready.
    = ready
  )");
  // None in the greeting: the client asks by itself.
  Replay(Rules(true, false), R"(
    S: * OK Dovecot ready.
    P: P1 STARTTLS
    S: * NO something on the way
    S: P1 OK Begin TLS negotiation now.
    TLS:
    G: * OK Dovecot ready.
    = ready
  )");
  // The client has been greeted.
  Replay(Rules(true, false, false), R"(
    S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready
    P: P1 STARTTLS
    S: P1 OK
    TLS:
    = ready
  )");
  // They cannot be had: better none than wrong ones.
  Replay(Rules(true, false), R"(
    S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED]
    P: P1 STARTTLS
    S: P1 OK
    TLS:
    P: P2 CAPABILITY
    S: P2 BAD
    G: * OK Ready
    = ready
  )");
}

TEST_CASE("imap back end: no TLS, no session", "[dialog]") {
  Replay(Rules(true, false), R"(
    S: * OK [CAPABILITY IMAP4rev1 ID] ready
    = failed no-starttls: does not offer STARTTLS: "* OK [CAPABILITY IMAP4rev1 ID] ready"
  )");
  Replay(Rules(true, false), R"(
    S: * OK ready
    P: P1 STARTTLS
    S: P1 BAD Unknown command
    = failed no-starttls: refuses STARTTLS: "P1 BAD Unknown command"
  )");
}

TEST_CASE("imap back end: who the client is", "[dialog]") {
  Replay(Rules(false, true), R"(
    S: * OK [CAPABILITY IMAP4rev1 id STARTTLS LOGINDISABLED] Dovecot ready.
    P: P1 ID ("x-originating-ip" "192.0.2.7" "x-originating-port" "4711" "x-connected-ip" "203.0.113.1" "x-connected-port" "993" "x-session-id" "s1" "x-proxy-ttl" "5")
    S: * ID ("name" "Dovecot")
    S: P1 OK ID completed.
    G: * OK [CAPABILITY IMAP4rev1 id LOGINDISABLED] Dovecot ready.
    = ready
  )");
  // A literal in the answer that looks like its end.
  Replay(Rules(true, true), R"(
    S: * OK ready
    P: P1 STARTTLS
    S: P1 OK
    TLS:
    P: P2 ID ("x-originating-ip" "192.0.2.7" "x-originating-port" "4711" "x-connected-ip" "203.0.113.1" "x-connected-port" "993" "x-session-id" "s1" "x-proxy-ttl" "5")
    s: * ID ("name" {15}\r\nx\r\nP2 NO a\r\n* {} "b" {2}\r\n\0\n)\r\n
    S: P2 OK
    G: * OK ready
    = ready
  )");
}

TEST_CASE("imap back end: a server that will not hear who the client is", "[dialog]") {
  Replay(Rules(false, true), R"(
    S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready
    = failed not-identified: does not offer ID, by which Dovecot is told who the client is: "IMAP4rev1 STARTTLS"
  )");
  BackendRules rules = Rules(false, true);
  rules.client = {.address = "192.0.2.7"};
  Replay(rules, R"(
    S: * OK ready
    P: P1 ID ("x-originating-ip" "192.0.2.7" "x-proxy-ttl" "5")
    S: P1 BAD Unknown command.
    = failed not-identified: refuses ID: "P1 BAD Unknown command."
  )");
}

TEST_CASE("imap back end: PREAUTH, BYE and others", "[dialog]") {
  for (const bool starttls : {true, false}) {
    Replay(Rules(starttls, !starttls), R"(
      S: * PREAUTH IMAP4rev1 server logged in as Smith
      = failed preauth: greets PREAUTH: the client would be logged in unasked: "* PREAUTH IMAP4rev1 server logged in as Smith"
    )");
    Replay(Rules(starttls, !starttls), R"(
      S: * BYE Autologout; idle for too long
      = failed refused: refuses to serve: "* BYE Autologout; idle for too long"
    )");
  }
  Replay(Rules(true, false), R"(
    S: * OK ready
    P: P1 STARTTLS
    S: * BYE shutting down
    = failed refused: refuses to serve: "* BYE shutting down"
  )");
  Replay(Rules(true, false), R"(
    S: * OK ready
    P: P1 STARTTLS
    S: * PREAUTH now
    = failed protocol: does not speak IMAP: "* PREAUTH now"
  )");
  for (const char* line : {"+OK", "220 mx", "* NO", "P1 OK", "*"}) {
    Replay(Rules(true, false), std::string("S: ") + line +
                                   "\n= failed protocol: does not speak IMAP: \"" + line + "\"");
  }
  // Another command's answer.
  Replay(Rules(true, false), R"(
    S: * OK ready
    P: P1 STARTTLS
    S: P2 OK
    = failed protocol: does not speak IMAP: "P2 OK"
  )");
}

}  // namespace postern::mail
