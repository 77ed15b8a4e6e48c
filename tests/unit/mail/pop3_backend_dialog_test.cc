// POP3 towards a server, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/backend_transcript.h"

namespace postern::mail {
namespace {

BackendRules Rules(bool starttls, bool identify) {
  BackendRules rules{.protocol = DialogProtocol::kPop3, .host_name = "front.example.com"};
  rules.starttls = starttls;
  rules.identify = identify;
  rules.client = {.address = "2001:db8::7",
                  .port = 4711,
                  .local_address = "2001:db8::1",
                  .local_port = 995,
                  .session_id = "s1"};
  return rules;
}

}  // namespace

TEST_CASE("pop3 back end: TLS by STLS, the timestamp reaches the client", "[dialog]") {
  Replay(Rules(true, false), R"(
    S: +OK ready <1896.697170952@dbc.mtview.ca.us>
    P: STLS
    S: +OK Begin TLS
    TLS:
    G: +OK ready <1896.697170952@dbc.mtview.ca.us>
    = ready
  )");
  BackendRules greeted = Rules(true, false);
  greeted.greet_client = false;
  Replay(greeted, R"(
    S: +OK
    P: STLS
    S: +OK
    TLS:
    = ready
  )");
}

TEST_CASE("pop3 back end: no TLS, no session", "[dialog]") {
  Replay(Rules(true, true), R"(
    S: +OK [XCLIENT] ready
    P: STLS
    S: -ERR TLS is not available
    = failed no-starttls: refuses STLS: "-ERR TLS is not available"
  )");
}

TEST_CASE("pop3 back end: who the client is", "[dialog]") {
  Replay(Rules(false, true), R"(
    S: +OK [XCLIENT] Dovecot ready. <1.2@x>
    P: XCLIENT ADDR=2001:db8::7 PORT=4711 SESSION=s1 TTL=5
    S: +OK Updated
    s: +OK unasked
    G: +OK Dovecot ready. <1.2@x>
    = ready +OK unasked
  )");
  Replay(Rules(true, true), R"(
    S: +OK [XCLIENT]
    P: STLS
    S: +OK go
    TLS:
    P: XCLIENT ADDR=2001:db8::7 PORT=4711 SESSION=s1 TTL=5
    S: +OK Updated
    G: +OK 
    = ready
  )");
}

TEST_CASE("pop3 back end: a server that will not hear who the client is", "[dialog]") {
  Replay(Rules(false, true), R"(
    S: +OK Dovecot ready.
    = failed not-identified: does not offer XCLIENT in its greeting; Dovecot admits Postern's address by login_trusted_networks: "+OK Dovecot ready."
  )");
  Replay(Rules(false, true), R"(
    S: +OK [XCLIENT] Dovecot ready.
    P: XCLIENT ADDR=2001:db8::7 PORT=4711 SESSION=s1 TTL=5
    S: -ERR You are not from trusted IP
    = failed not-identified: refuses XCLIENT: "-ERR You are not from trusted IP"
  )");
}

TEST_CASE("pop3 back end: a server that does not serve, or not POP3", "[dialog]") {
  Replay(Rules(true, false), R"(
    S: -ERR [SYS/TEMP] Not now
    = failed refused: refuses to serve: "-ERR [SYS/TEMP] Not now"
  )");
  for (const char* line : {"* OK IMAP4rev1", "+OKAY", "220 mx"}) {
    Replay(Rules(true, false), std::string("S: ") + line +
                                   "\n= failed protocol: does not speak POP3: \"" + line + "\"");
  }
}

}  // namespace postern::mail
