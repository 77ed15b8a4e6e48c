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
