// SMTP and LMTP towards a server, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/backend_transcript.h"

namespace postern::mail {
namespace {

constexpr ClientIdentity kClient{.address = "192.0.2.7",
                                 .port = 4711,
                                 .local_address = "203.0.113.1",
                                 .local_port = 465,
                                 .session_id = "s1"};

BackendRules Rules() {
  return {.protocol = DialogProtocol::kSmtp, .host_name = "front.example.com"};
}
BackendRules StartTls() {
  BackendRules rules = Rules();
  rules.starttls = true;
  return rules;
}
BackendRules Identify() {
  BackendRules rules = Rules();
  rules.identify = true;
  rules.client = kClient;
  return rules;
}
// A client that ClientDialog has greeted and that begins anew inside TLS.
BackendRules Greeted() {
  BackendRules rules = Rules();
  rules.greet_client = false;
  rules.filter_ehlo = true;
  return rules;
}

}  // namespace

TEST_CASE("smtp back end: nothing to be said", "[dialog]") {
  CHECK(MakeBackendDialog(Rules()) == nullptr);
}

TEST_CASE("smtp back end: TLS by STARTTLS", "[dialog]") {
  Replay(StartTls(), R"(
    S: 220-mx.example.net ESMTP
    S: 220 be patient
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250-PIPELINING
    S: 250-starttls
    S: 250 8BITMIME
    P: STARTTLS
    S: 220 2.0.0 Ready to start TLS
    TLS:
    G: 220-mx.example.net ESMTP
    G: 220 be patient
    = ready
  )");
}

TEST_CASE("smtp back end: no TLS, no session", "[dialog]") {
  Replay(StartTls(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 STARTTLSX
    = failed no-starttls: does not offer STARTTLS
  )");
  Replay(StartTls(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 STARTTLS
    P: STARTTLS
    S: 454 4.7.0 TLS not available due to "local" problem\x07
    = failed no-starttls: refuses STARTTLS: "454 4.7.0 TLS not available due to ?local? problem?"
  )");
  Replay(StartTls(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 502 5.5.1 what?
    = failed refused: refuses our EHLO: "502 5.5.1 what?"
  )");
}

TEST_CASE("smtp back end: who the client is", "[dialog]") {
  Replay(Identify(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT
    S: 250 8BITMIME
    P: XCLIENT DESTADDR=203.0.113.1 DESTPORT=465 PORT=4711 NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE] ADDR=192.0.2.7
    S: 220 mx.example.net again
    G: 220 mx.example.net again
    = ready
  )");
  // Dovecot's words; after TLS, with a client that goes on without its own.
  BackendRules rules = Identify();
  rules.starttls = true;
  rules.greet_client = false;
  rules.replay = "HELO client.example";
  rules.client.hello = "client.example";
  Replay(rules, R"(
    S: 220 mx.example.net Dovecot ready.
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250-XCLIENT ADDR
    S: 250 STARTTLS
    P: STARTTLS
    S: 220 2.0.0 Begin TLS negotiation now.
    TLS:
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL
    P: XCLIENT HELO=client.example PROTO=SMTP SESSION=s1 TTL=5 PORT=4711 ADDR=192.0.2.7
    S: 220 mx.example.net Dovecot ready.
    P: HELO client.example
    S: 250 mx.example.net
    = ready
  )");
}

TEST_CASE("smtp back end: the client's login", "[dialog]") {
  BackendRules rules = Identify();
  rules.client.login = "alice@example.com";
  Replay(rules, R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR LOGIN
    P: XCLIENT LOGIN=alice@example.com ADDR=192.0.2.7
    S: 220 mx.example.net ESMTP
    G: 220 mx.example.net ESMTP
    = ready
  )");
  rules.client.login = "Alice+1 = \xC3\xA4";
  Replay(rules, R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR LOGIN
    P: XCLIENT LOGIN=Alice+2B1+20+3D+20+C3+A4 ADDR=192.0.2.7
    S: 220 mx.example.net ESMTP
    G: 220 mx.example.net ESMTP
    = ready
  )");
  // As a stranger the client might still be served, and not as was meant.
  Replay(rules, R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR PORT
    = failed not-identified: does not take a client's login by XCLIENT: "XCLIENT ADDR PORT"
  )");
  const std::string long_login(600, 'a');
  rules.client.login = long_login;
  Replay(rules, R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR LOGIN
    = failed not-identified: does not take a client's login by XCLIENT: "XCLIENT ADDR LOGIN"
  )");
}

TEST_CASE("smtp back end: a server that will not hear who the client is", "[dialog]") {
  Replay(Identify(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 PIPELINING
    = failed not-identified: does not offer XCLIENT; Postfix admits Postern's address by smtpd_authorized_xclient_hosts, Dovecot by login_trusted_networks
  )");
  Replay(Identify(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT NAME PROTO
    = failed not-identified: does not take a client's address by XCLIENT: "XCLIENT NAME PROTO"
  )");
  for (const char* answer : {"500 5.5.2 What?", "503 5.5.1 Later", "250 Thanks"}) {
    Replay(Identify(), std::string("S: 220 mx.example.net ESMTP\n"
                                   "P: EHLO front.example.com\n"
                                   "S: 250-mx.example.net\n"
                                   "S: 250 XCLIENT ADDR\n"
                                   "P: XCLIENT ADDR=192.0.2.7\n"
                                   "S: ") +
                           answer + "\n= failed not-identified: refuses XCLIENT: \"" + answer +
                           "\"");
  }
}

TEST_CASE("smtp back end: a client of whom the server cannot be told", "[dialog]") {
  BackendRules rules = Identify();
  rules.client.address = "2001:db8::7";
  Replay(rules, R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR
    P: XCLIENT ADDR=IPV6:2001:db8::7
    S: 501 5.5.4 Bad ADDR syntax: IPV6:2001:db8::7
    G: 421 4.4.1 The mail server cannot be reached, please try again later
    = failed client-refused: does not understand what XCLIENT says of this client; a Postfix with inet_protocols = ipv4 takes no IPv6 addresses: "501 5.5.4 Bad ADDR syntax: IPV6:2001:db8::7"
  )");
}

TEST_CASE("smtp back end: a client that the server will not have", "[dialog]") {
  Replay(Identify(), R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250 XCLIENT ADDR
    P: XCLIENT ADDR=192.0.2.7
    S: 554-5.7.1 <unknown[192.0.2.7]>: Client host rejected
    S: 554 5.7.1 for good
    G: 554-5.7.1 <unknown[192.0.2.7]>: Client host rejected
    G: 554 5.7.1 for good
    = failed client-refused: refuses this client: "554 5.7.1 for good"
  )");
  BackendRules rules = Rules();
  rules.greet_client = false;
  rules.replay = "EHLO localhost";
  Replay(rules, R"(
    S: 220 mx.example.net ESMTP
    P: EHLO localhost
    S: 550 5.7.1 No, you are not
    G: 550 5.7.1 No, you are not
    = failed client-refused: refuses this client's EHLO: "550 5.7.1 No, you are not"
  )");
}

TEST_CASE("smtp back end: a server that does not serve", "[dialog]") {
  for (const char* line : {"421 4.3.2 Too busy", "554 No SMTP service here", "450 later"}) {
    Replay(Greeted(),
           std::string("S: ") + line + "\n= failed refused: refuses to serve: \"" + line + "\"");
  }
}

TEST_CASE("smtp back end: EHLO after STARTTLS", "[dialog]") {
  Replay(Greeted(), R"(
    S: 220 mx.example.net ESMTP
    C: ehlo client.example
    P: ehlo client.example
    S: 250-mx.example.net Hello
    S: 250-XCLIENT NAME ADDR
    S: 250-AUTH PLAIN LOGIN
    S: 250-SIZE 1000
    S: 250-
    S: 250 StartTLS
    G: 250-mx.example.net Hello
    G: 250-AUTH PLAIN LOGIN
    G: 250 SIZE 1000
    = ready
  )");
  // Nothing is left of it.
  Replay(Greeted(), R"(
    S: 220 mx.example.net ESMTP
    C: EHLO client.example
    P: EHLO client.example
    S: 250-mx.example.net
    S: 250 STARTTLS
    G: 250 mx.example.net
    = ready
  )");
}

TEST_CASE("smtp back end: what a client may say before EHLO", "[dialog]") {
  Replay(Greeted(), R"(
    S: 220 mx.example.net ESMTP
    C: NOOP
    P: NOOP
    S: 250 2.0.0 Ok
    G: 250 2.0.0 Ok
    C: HELP me
    P: HELP me
    S: 214-See
    S: 214 there
    G: 214-See
    G: 214 there
    C: EHLO
    P: EHLO
    S: 501 Syntax: EHLO hostname
    G: 501 Syntax: EHLO hostname
    C: EHLO client.example
    P: EHLO client.example
    S: 250-mx.example.net
    S: 250-XFORWARD NAME
    S: 250 CHUNKING
    G: 250-mx.example.net
    G: 250 CHUNKING
    = ready
  )");
}

TEST_CASE("smtp back end: other commands are the server's, from their first octet", "[dialog]") {
  for (const char* line : {"HELO client.example\\r\\n", "MAIL FROM:<>\\r\\nRCPT TO:<a@b>\\r\\n",
                           "QUIT\\r\\n", "\\r\\n", "LHLO x\\r\\n", "EHLO x\\n\\r\\n"}) {
    Replay(Greeted(), std::string("S: 220 mx.example.net ESMTP\nc: ") + line + "\n= ready " + line);
  }
}

TEST_CASE("smtp back end: what the client said too early waits for its answer", "[dialog]") {
  BackendPlayer player(Greeted());
  player.Feed(Speaker::kClient, "EHLO client.example\r\nMAIL FROM:<>\r\n");
  CHECK(player.to_server().empty());
  player.Feed(Speaker::kServer, "220 mx\r\n");
  CHECK(player.to_server() == "EHLO client.example\r\n");
  player.Feed(Speaker::kServer, "250 mx\r\n");
  CHECK(player.End() == "ready MAIL FROM:<>\r\n");
}

TEST_CASE("smtp back end: a server that speaks though the client is to", "[dialog]") {
  Replay(Greeted(), R"(
    S: 220 mx.example.net ESMTP
    s: 421 4.4.2 mx.example.net Error: timeout exceeded\r\n
    = ready 421 4.4.2 mx.example.net Error: timeout exceeded\r\n
  )");
  Replay(Greeted(), R"(
    S: 220 mx.example.net ESMTP
    C: NOOP
    P: NOOP
    S: 421 4.3.2 Shutting down
    G: 421 4.3.2 Shutting down
    = ready
  )");
}

TEST_CASE("smtp back end: LMTP", "[dialog]") {
  BackendRules rules = Identify();
  rules.protocol = DialogProtocol::kLmtp;
  rules.starttls = true;
  rules.filter_ehlo = true;
  Replay(rules, R"(
    S: 220 lmtp.example.net LMTP
    P: LHLO front.example.com
    S: 250-lmtp.example.net
    S: 250 STARTTLS
    P: STARTTLS
    S: 220 go
    TLS:
    P: LHLO front.example.com
    S: 250-lmtp.example.net
    S: 250 XCLIENT ADDR PORT
    P: XCLIENT PORT=4711 ADDR=192.0.2.7
    S: 220 lmtp.example.net LMTP
    G: 220 lmtp.example.net LMTP
    C: LHLO client.example
    P: LHLO client.example
    S: 250-lmtp.example.net
    S: 250-XCLIENT ADDR PORT
    S: 250 PIPELINING
    G: 250-lmtp.example.net
    G: 250 PIPELINING
    = ready
  )");
}

TEST_CASE("smtp back end: keywords are learned", "[dialog]") {
  BackendRules rules = StartTls();
  rules.probe = true;
  const char* transcript = R"(
    S: 220 mx.example.net ESMTP
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250-STARTTLS
    S: 250 SIZE 1
    P: STARTTLS
    S: 220 go
    TLS:
    P: EHLO front.example.com
    S: 250-mx.example.net
    S: 250-SIZE 2
    S: 250 AUTH PLAIN
    P: QUIT
    = ready
  )";
  Replay(rules, transcript);
  BackendPlayer player(rules);
  CHECK(player.dialog().keywords() == nullptr);
  for (const BackendTurn& turn : ReadBackendTranscript(transcript).turns) {
    player.Feed(turn.speaker, turn.says);
    // What was heard before TLS is forgotten.
    if (turn.speaker == Speaker::kTls) CHECK(player.dialog().keywords() == nullptr);
  }
  REQUIRE(player.dialog().keywords() != nullptr);
  CHECK(*player.dialog().keywords() == EhloKeywords{"SIZE 2", "AUTH PLAIN"});

  BackendPlayer real(Greeted());
  real.Feed(Speaker::kServer, "220 mx\r\n");
  real.Feed(Speaker::kClient, "EHLO c\r\n");
  real.Feed(Speaker::kServer, "250-mx\r\n250 DSN\r\n");
  REQUIRE(real.dialog().keywords() != nullptr);
  CHECK(*real.dialog().keywords() == EhloKeywords{"DSN"});
}

TEST_CASE("smtp back end: what is no SMTP", "[dialog]") {
  for (const char* line : {"+OK POP3 ready", "22", "220x", "120 wait", "2 0 x", "999 no"}) {
    Replay(Greeted(), std::string("S: ") + line + "\n= failed protocol: does not speak SMTP: \"" +
                          line + "\"");
  }
  Replay(Greeted(), R"(
    S: 220-mx.example.net
    S: 250 mx.example.net
    = failed protocol: answers with two codes at once: "250 mx.example.net"
  )");
}

}  // namespace postern::mail
