// ManageSieve towards a server, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/backend_transcript.h"

namespace postern::mail {
namespace {

BackendRules Rules(bool starttls, bool greet_client = true) {
  BackendRules rules{.protocol = DialogProtocol::kSieve, .host_name = "front.example.com"};
  rules.starttls = starttls;
  rules.filter_ehlo = true;
  rules.greet_client = greet_client;
  return rules;
}

}  // namespace

TEST_CASE("sieve back end: TLS by STARTTLS, the second capabilities are the client's", "[dialog]") {
  Replay(Rules(true), R"(
    S: "IMPLEMENTATION" "Dovecot Pigeonhole"
    S: "SIEVE" "fileinto"
    S: "SASL" ""
    S: "STARTTLS"
    S: OK "Dovecot ready."
    P: STARTTLS
    S: OK "Begin TLS negotiation now."
    TLS:
    s: "IMPLEMENTATION" {18}\r\nDovecot Pigeonhole\r\n
    S: "SIEVE" "fileinto reject"
    S: "SASL" "PLAIN"
    s: {8}\r\nSTARTTLS\r\n
    S: OK (TAG "x") "TLS negotiation successful."
    g: "IMPLEMENTATION" {18}\r\nDovecot Pigeonhole\r\n
    G: "SIEVE" "fileinto reject"
    G: "SASL" "PLAIN"
    G: OK (TAG "x") "TLS negotiation successful."
    = ready
  )");
  Replay(Rules(true, false), R"(
    S: "starttls"
    S: OK
    P: STARTTLS
    S: ok
    TLS:
    S: "SASL" "PLAIN"
    S: OK
    = ready
  )");
}

TEST_CASE("sieve back end: without TLS", "[dialog]") {
  Replay(Rules(false), R"(
    S: "SASL" "PLAIN"
    S: "STARTTLS"
    S: OK "ready"
    s: NO "unasked"
    G: "SASL" "PLAIN"
    G: OK "ready"
    = ready NO "unasked"
  )");
}

TEST_CASE("sieve back end: no TLS, no session", "[dialog]") {
  Replay(Rules(true), R"(
    S: "SASL" "STARTTLS"
    S: OK
    = failed no-starttls: does not offer STARTTLS
  )");
  Replay(Rules(true), R"(
    S: "STARTTLS"
    S: OK
    P: STARTTLS
    S: NO "TLS is not available"
    = failed no-starttls: refuses STARTTLS: "NO ?TLS is not available?"
  )");
}

TEST_CASE("sieve back end: who the client is", "[dialog]") {
  BackendRules rules = Rules(true);
  rules.identify = true;
  rules.client = {.address = "2001:db8::7", .port = 4711, .session_id = "s1"};
  Replay(rules, R"(
    S: "SASL" ""
    S: "STARTTLS"
    S: "XCLIENT"
    S: OK
    P: STARTTLS
    S: OK
    TLS:
    S: "SASL" "PLAIN"
    s: {7}\r\nXCLIENT\r\n
    S: OK "ready"
    P: XCLIENT ADDR=2001:db8::7 PORT=4711 SESSION=s1 TTL=5
    S: OK "Updated"
    G: "SASL" "PLAIN"
    G: OK "ready"
    = ready
  )");
  rules.starttls = false;
  Replay(rules, R"(
    S: "XCLIENT"
    S: OK
    P: XCLIENT ADDR=2001:db8::7 PORT=4711 SESSION=s1 TTL=5
    S: NO "You are not from trusted IP"
    = failed not-identified: refuses XCLIENT: "NO ?You are not from trusted IP?"
  )");
  Replay(rules, R"(
    S: "SASL" "PLAIN"
    S: OK
    = failed not-identified: does not offer XCLIENT; Dovecot admits Postern's address by login_trusted_networks
  )");
}

TEST_CASE("sieve back end: a server that does not serve, or not ManageSieve", "[dialog]") {
  for (const char* line : {"BYE", "NO (TRYLATER) later"}) {
    Replay(Rules(true),
           std::string("S: ") + line + "\n= failed refused: refuses to serve: \"" + line + "\"");
  }
  for (const char* line : {"* OK IMAP", "220 mx", "+OK", "IMPLEMENTATION x"}) {
    Replay(Rules(true), std::string("S: ") + line +
                            "\n= failed protocol: does not speak ManageSieve: \"" + line + "\"");
  }
  // A capability is no answer to STARTTLS.
  Replay(Rules(true), R"(
    S: "STARTTLS"
    S: OK
    P: STARTTLS
    S: "SASL" "PLAIN"
    = failed protocol: does not speak ManageSieve: "?SASL? ?PLAIN?"
  )");
}

}  // namespace postern::mail
