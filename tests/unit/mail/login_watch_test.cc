#include "postern/mail/login_watch.h"

#include <string>
#include <string_view>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

struct Case {
  const char* what;
  DialogProtocol protocol;
  // Lines "C: ..." and "S: ..."; CR LF is added to each but to those that begin with "c:" or "s:".
  const char* transcript;
  unsigned failed;
  bool over = false;
  bool greeted = false;
};

struct Seen {
  unsigned failed = 0;
  bool over = false;
  bool operator==(const Seen&) const = default;
};

// Plays a transcript, each line in pieces of `pace` octets.
Seen Play(const Case& test, size_t pace) {
  const auto watch = WatchLogins(test.protocol, test.greeted);
  REQUIRE(watch != nullptr);
  Seen seen;
  std::string_view rest = test.transcript;
  while (!rest.empty() && !watch->over()) {
    const size_t end = rest.find('\n');
    std::string line(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    REQUIRE((line.size() >= 3 && line[1] == ':' && line[2] == ' '));
    const bool client = line[0] == 'C' || line[0] == 'c';
    if (line[0] == 'C' || line[0] == 'S') line += "\r\n";
    for (std::string_view octets = std::string_view(line).substr(3); !octets.empty();) {
      const std::string_view piece = octets.substr(0, pace);
      octets.remove_prefix(piece.size());
      if (client) watch->TakeClient(AsBytes(piece));
      if (!client) seen.failed += watch->TakeServer(AsBytes(piece));
    }
  }
  seen.over = watch->over();
  return seen;
}

constexpr DialogProtocol kImap = DialogProtocol::kImap;
constexpr DialogProtocol kPop3 = DialogProtocol::kPop3;
constexpr DialogProtocol kSmtp = DialogProtocol::kSmtp;
constexpr DialogProtocol kSieve = DialogProtocol::kSieve;

const Case kCases[] = {
    {"IMAP, as Dovecot says it", kImap,
     "S: * OK [CAPABILITY IMAP4rev1] ready\n"
     "C: a ID NIL\n"
     "S: * ID NIL\n"
     "S: a OK ID completed\n"
     "C: b LOGIN joe wrong\n"
     "S: b NO [AUTHENTICATIONFAILED] Authentication failed.\n"
     "C: c LOGIN joe right\n"
     "S: * CAPABILITY IMAP4rev1 IDLE\n"
     "S: c OK Logged in\n",
     1, true},
    {"IMAP without a response code, and in other letters", kImap,
     "S: * OK ready\n"
     "C: 1 login joe wrong\n"
     "S: 1 no Login failed: authentication failure\n",
     1},
    {"IMAP: not every NO is a failed login", kImap,
     "S: * OK ready\n"
     "C: a SELECT INBOX\n"
     "S: a NO not now\n"
     "C: b LOGIN joe right\n"
     "S: b NO [UNAVAILABLE] try again\n"
     "C: c LOGIN joe\n"
     "S: c BAD missing argument\n"
     "C: d AUTHENTICATE PLAIN\n"
     "S: + \n"
     "C: *\n"
     "S: d BAD cancelled\n",
     0},
    {"IMAP: AUTHENTICATE, with and without an initial response", kImap,
     "S: * OK ready\n"
     "C: a AUTHENTICATE PLAIN\n"
     "S: + \n"
     "C: AGpvZQB3cm9uZw==\n"
     "S: a NO [AUTHENTICATIONFAILED] no\n"
     "C: b AUTHENTICATE PLAIN AGpvZQB3cm9uZw==\n"
     "S: b NO no\n"
     "C: c AUTHENTICATE PLAIN AGpvZQByaWdodA==\n"
     "S: c OK yes\n",
     2, true},
    {"IMAP: what stands in a literal is no login, whatever else has its tag", kImap,
     "S: * OK ready\n"
     "C: a LOGIN {10}\n"
     "S: + OK\n"
     "c: b LOGIN x \n"
     "C:  wrong\n"
     "S: a NO no\n"
     "C: b NOOP\n"
     "S: b OK not of a login\n"
     "C: e NOOP\n"
     "C: c LOGIN {12+}\n"
     "c: e LOGIN u p \n"
     "C:  x\n"
     "S: e OK not of a login\n"
     "S: c NO no\n"
     "C: d LOGIN {1+}\n"
     "c: u\n"
     "C:  p\n"
     "S: d OK yes\n",
     2, true},
    {"IMAP: what stands in an answer to a challenge is no login", kImap,
     "S: * OK ready\n"
     "C: a AUTHENTICATE PLAIN\n"
     "C: t LOGIN u p\n"
     "C:  t NOOP\n"
     "S: + \n"
     "S: a BAD no\n"
     "S: t OK done\n",
     0},
    {"IMAP: a literal that is refused is no literal", kImap,
     "S: * OK ready\n"
     "C: a LOGIN {99999}\n"
     "S: a BAD too long\n"
     "C: b LOGIN joe wrong\n"
     "S: b NO no\n",
     1},
    {"IMAP: what a server puts in literals is no answer", kImap,
     "S: * OK ready\n"
     "C: a LOGIN joe wrong\n"
     "S: * ID (\"x\" {20}\n"
     "s: a OK a OK a OK a OK \n"
     "S: a OK)\n"
     "S: a NO no\n",
     1},
    {"IMAP: several logins at once, answered in another order", kImap,
     "S: * OK ready\n"
     "C: a LOGIN joe wrong\n"
     "C: b LOGIN joe wrong\n"
     "C: c NOOP\n"
     "S: c OK\n"
     "S: b NO no\n"
     "S: a NO no\n",
     2},
    {"IMAP: more logins than are kept in mind are seen by the code", kImap,
     "S: * OK ready\n"
     "C: a LOGIN u p\nC: b LOGIN u p\nC: c LOGIN u p\nC: d LOGIN u p\nC: e LOGIN u p\n"
     "C: f LOGIN u p\nC: g LOGIN u p\nC: h LOGIN u p\nC: i LOGIN u p\nC: j LOGIN u p\n"
     "C: k LOGIN u p\nC: l LOGIN u p\nC: m LOGIN u p\nC: n LOGIN u p\nC: o LOGIN u p\n"
     "C: p LOGIN u p\nC: q LOGIN u p\n"
     "S: a NO [AUTHENTICATIONFAILED] no\n"
     "S: q NO no\n",
     2},
    {"IMAP: PREAUTH", kImap, "S: * PREAUTH you are joe\n", 0, true},
    {"IMAP: PREAUTH is nothing behind the greeting", kImap, "S: * PREAUTH x\n", 0, false, true},

    {"POP3, as Dovecot says it", kPop3,
     "S: +OK ready <x@y>\n"
     "C: CAPA\n"
     "S: +OK\n"
     "S: USER\n"
     "S: -ERR is no answer here\n"
     "S: .\n"
     "C: USER joe\n"
     "S: +OK\n"
     "C: PASS wrong\n"
     "S: -ERR [AUTH] Authentication failed.\n"
     "C: USER joe\n"
     "S: +OK\n"
     "C: PASS right\n"
     "S: +OK Logged in.\n",
     1, true},
    {"POP3 without response codes, in one go", kPop3,
     "S: +OK ready\n"
     "C: USER joe\n"
     "C: PASS wrong\n"
     "C: APOP joe 0123456789abcdef0123456789abcdef\n"
     "C: NONSENSE\n"
     "S: +OK\n"
     "S: -ERR no\n"
     "S: -ERR no\n"
     "S: -ERR unknown command\n",
     2},
    {"POP3: commands before the greeting are not answered by it", kPop3,
     "C: PASS wrong\n"
     "S: +OK ready\n"
     "S: -ERR no\n",
     1},
    {"POP3: not every -ERR is a failed login", kPop3,
     "C: USER joe\n"
     "S: +OK\n"
     "C: PASS right\n"
     "S: -ERR [IN-USE] another session\n"
     "C: PASS right\n"
     "S: -ERR [SYS/TEMP] later\n"
     "C: AUTH\n"
     "S: -ERR what?\n",
     0, false, true},
    {"POP3: AUTH, whose challenges' answers are no commands", kPop3,
     "C: AUTH\n"
     "S: +OK\n"
     "S: PLAIN\n"
     "S: .\n"
     "C: AUTH PLAIN\n"
     "S: + \n"
     "C: AGpvZQB3cm9uZw==\n"
     "S: -ERR [AUTH] no\n"
     "C: AUTH LOGIN\n"
     "S: + VXNlcm5hbWU6\n"
     "C: am9l\n"
     "S: + UGFzc3dvcmQ6\n"
     "C: cmlnaHQ=\n"
     "S: +OK\n",
     1, true, true},

    {"POP3: the answer to another command is no login's, however many go ahead", kPop3,
     "C: AUTH PLAIN\n"
     "C: PASS x\n"
     "C: PASS x\n"
     "C: USER u\n"
     "S: + \n"
     "S: -ERR [AUTH] no\n"
     "S: -ERR [AUTH] no\n"
     "S: +OK\n",
     2, false, true},
    {"POP3: an answer too many, and nothing is taken for a login", kPop3,
     "S: +OK what?\n"
     "C: PASS x\n"
     "S: +OK\n",
     0, false, true},

    {"SMTP: 535, and nothing else", kSmtp,
     "S: 220 mx.example.com ESMTP\n"
     "C: EHLO client\n"
     "S: 250-mx.example.com\n"
     "S: 250 AUTH PLAIN LOGIN\n"
     "C: AUTH PLAIN AGpvZQB3cm9uZw==\n"
     "S: 535 5.7.8 Error: authentication failed\n"
     "C: AUTH LOGIN\n"
     "S: 334 VXNlcm5hbWU6\n"
     "C: am9l\n"
     "S: 334 UGFzc3dvcmQ6\n"
     "C: d3Jvbmc=\n"
     "S: 535-5.7.8 no\n"
     "S: 535 5.7.8 no\n"
     "C: AUTH PLAIN AGpvZQByaWdodA==\n"
     "S: 454 4.7.0 later\n"
     "S: 550 5.7.1 no\n"
     "S: 235 2.7.0 yes\n",
     2, true},

    {"ManageSieve, as Pigeonhole says it", kSieve,
     "S: \"SASL\" \"PLAIN\"\n"
     "S: OK \"ready\"\n"
     "C: NOOP\n"
     "S: OK \"done\"\n"
     "C: AUTHENTICATE \"PLAIN\" \"AGpvZQB3cm9uZw==\"\n"
     "S: NO \"Authentication failed.\"\n"
     "C: AUTHENTICATE \"PLAIN\" {16+}\n"
     "C: AGpvZQB3cm9uZw==\n"
     "S: NO {20}\n"
     "S: OK OK OK OK OK OK 1\n"
     "C: AUTHENTICATE \"PLAIN\"\n"
     "S: \"\"\n"
     "C: \"AGpvZQByaWdodA==\"\n"
     "S: OK \"Logged in.\"\n",
     2, true},
    {"ManageSieve: a literal that a server may have refused, and a string that goes on", kSieve,
     "C: {6+}\n"
     "C: NOOP\n"
     "C: AUTHENTICATE \"X\"\n"
     "S: NO what?\n"
     "S: OK of what stood in the literal\n",
     0, false, true},
    {"ManageSieve: a string that goes on", kSieve,
     "C: NOOP \"\n"
     "C: AUTHENTICATE \"X\"\n"
     "S: OK of NOOP\n"
     "S: OK\n",
     0, false, true},
    {"ManageSieve: not every NO is a failed login", kSieve,
     "C: LISTSCRIPTS\n"
     "S: NO \"log in first\"\n"
     "C: AUTHENTICATE \"PLAIN\" \"AGpvZQByaWdodA==\"\n"
     "S: NO (TRYLATER) \"later\"\n"
     "C: AUTHENTICATE \"PLAIN\" \"AGpvZQByaWdodA==\"\n"
     "S: NO (ENCRYPT-NEEDED) \"TLS\"\n",
     0, false, true},
};

}  // namespace

TEST_CASE("login watch: transcripts, whole and cut anywhere") {
  for (const Case& test : kCases) {
    for (const size_t pace : {size_t{4096}, size_t{1}, size_t{2}, size_t{3}, size_t{7}}) {
      CAPTURE(test.what, pace);
      const Seen seen = Play(test, pace);
      CHECK(seen.failed == test.failed);
      CHECK(seen.over == test.over);
    }
  }
}

TEST_CASE("login watch: LMTP has no logins") {
  CHECK(WatchLogins(DialogProtocol::kLmtp, true) == nullptr);
}

TEST_CASE("login watch: a line without an end is held in bounded memory, and one behind it found") {
  const auto watch = WatchLogins(kSmtp, true);
  const std::string much(1 << 20, '5');
  for (int i = 0; i < 4; ++i) CHECK(watch->TakeServer(AsBytes(much)) == 0);
  CHECK(watch->TakeServer(AsBytes("\r\n535 no\r\n535 no\r\n")) == 2);
}

}  // namespace postern::mail
