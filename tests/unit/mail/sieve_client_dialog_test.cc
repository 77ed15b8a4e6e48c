// ManageSieve before TLS, as transcripts.
#include <string>

#include "tests/unit/catch.h"
#include "tests/unit/mail/transcript.h"

namespace postern::mail {
namespace {

constexpr DialogRules kRequired{DialogProtocol::kSieve, "sieve.example.com", true};
constexpr DialogRules kOptional{DialogProtocol::kSieve, "sieve.example.com", false};

const std::string kCapabilities = R"(
    S: "IMPLEMENTATION" "Postern"
    S: "SIEVE" ""
    S: "SASL" ""
    S: "STARTTLS"
    S: "VERSION" "1.0")";
const std::string kGreeting = kCapabilities + "\nS: OK \"sieve.example.com ready\"\n";
const std::string kOptionalCapabilities = R"(
    S: "IMPLEMENTATION" "Postern"
    S: "SIEVE" ""
    S: "SASL" "PLAIN"
    S: "STARTTLS"
    S: "VERSION" "1.0")";
const std::string kOptionalGreeting =
    kOptionalCapabilities + "\nS: OK \"sieve.example.com ready\"\n";

}  // namespace

TEST_CASE("sieve dialog: the usual way to TLS", "[dialog]") {
  Replay(kRequired, kGreeting + "C: capability\n" + kCapabilities + R"(
    S: OK "CAPABILITY completed"
    C: STARTTLS
    S: OK "Begin TLS negotiation now"
    = starttls
  )");
  Replay(kOptional, kOptionalGreeting + "C: CAPABILITY\n" + kOptionalCapabilities + R"(
    S: OK "CAPABILITY completed"
    C: starttls
    S: OK "Begin TLS negotiation now"
    = starttls
  )");
}

TEST_CASE("sieve dialog: NOOP gives back what it got", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: NOOP
    S: OK "NOOP completed"
    C: NOOP "STARTTLS-SYNC-42"
    S: OK (TAG "STARTTLS-SYNC-42") "NOOP completed"
    C: noop "a \\"quoted\\" \\\\ word"
    S: OK (TAG "a \\"quoted\\" \\\\ word") "NOOP completed"
    C: NOOP {3+}
    C: a"b
    S: OK (TAG "a\\"b") "NOOP completed"
    C: NOOP {6+}
    C: a\r\n\0\xC3\xBC
    S: OK (TAG {6}\r\na\r\n\0\xC3\xBC) "NOOP completed"
    C: NOOP {0+}
    c: \r\n
    S: OK (TAG "") "NOOP completed"
    C: LOGOUT
    S: OK "LOGOUT completed"
    = close quit
  )");
  const std::string longest(1024, 'x');
  Replay(kRequired, kGreeting + "C: NOOP {1024+}\nC: " + longest + "\nS: OK (TAG \"" + longest +
                        "\") \"NOOP completed\"\n= more\n");
  Replay(kRequired, kGreeting + "C: NOOP {1025+}\nC: x" + longest + "\nS: OK (TAG {1025}\nS: x" +
                        longest + ") \"NOOP completed\"\n= more\n");
}

TEST_CASE("sieve dialog: no password in the clear where TLS is required", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    C: AUTHENTICATE "PLAIN" "AGEAYg=="
    S: NO (ENCRYPT-NEEDED) "Encryption is needed first: use STARTTLS"
    C: AUTHENTICATE "PLAIN" {10+}
    C: STARTTLS\r\n
    S: NO (ENCRYPT-NEEDED) "Encryption is needed first: use STARTTLS"
    C: Authenticate "PLAIN"
    S: NO (ENCRYPT-NEEDED) "Encryption is needed first: use STARTTLS"
    C: PUTSCRIPT "a" {7+}
    C: LOGOUT\n
    S: NO "Not before AUTHENTICATE"
    C: LISTSCRIPTS
    S: NO "Not before AUTHENTICATE"
    C: FOO {8+}
    C: STARTTLS
    S: NO "Unknown command"
    C: STARTTLS
    S: OK "Begin TLS negotiation now"
    = starttls
  )");
}

TEST_CASE("sieve dialog: a client that goes on without TLS", "[dialog]") {
  Replay(kOptional, kOptionalGreeting + R"(
    C: LISTSCRIPTS
    S: NO "Not before AUTHENTICATE"
    c: AUTHENTICATE "PLAIN" {8+}\r\nAGEAYg==\r\n
    = plain AUTHENTICATE "PLAIN" {8+}\r\nAGEAYg==\r\n
  )");
}

TEST_CASE("sieve dialog: bad lines", "[dialog]") {
  Replay(kRequired, kGreeting + R"(
    c: \r\n
    S: NO "Unknown command"
    C: STARTTLS "now"
    S: NO "No argument belongs here"
    C: CAPABILITY 
    S: NO "No argument belongs here"
    C: NOOP tag
    S: NO "NOOP takes one string or none"
    C: NOOP "open
    S: NO "NOOP takes one string or none"
    C: NOOP "a" "b"
    S: NO "NOOP takes one string or none"
    C: NOOP {5}
    S: NO "NOOP takes one string or none"
    C: LOGOUT\0
    S: NO "NUL in a line"
    C: NOOP\rLOGOUT
    S: NO "Bare CR: lines end in CR LF"
    = more
  )");
  Replay(kRequired, kGreeting + R"(
    C: NOOP {8192+}
    S: BYE "Line too long"
    = close line-too-long
  )");
  Replay(kRequired, kGreeting + R"(
    C: POST /sieve HTTP/1.1
    S: BYE "This is a mail server, not a web server"
    = close foreign
  )");
}

}  // namespace postern::mail
