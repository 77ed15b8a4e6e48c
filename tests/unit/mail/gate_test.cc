#include "postern/mail/gate.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

constexpr DialogProtocol kImap = DialogProtocol::kImap;
constexpr DialogProtocol kPop3 = DialogProtocol::kPop3;
constexpr DialogProtocol kSmtp = DialogProtocol::kSmtp;
constexpr DialogProtocol kLmtp = DialogProtocol::kLmtp;
constexpr DialogProtocol kSieve = DialogProtocol::kSieve;

struct Case {
  const char* what;
  DialogProtocol protocol;
  // Lines "C: ..." and "S: ...": what is said; a line end (CR LF) is added to each but to those in
  // small letters. Behind one that comes out otherwise: "->" and how, "-" for not at all.
  const char* transcript;
  bool over = false;
  bool greeted = false;
  bool chunking = false;
};

struct Heard {
  std::string server;
  std::string client;
  bool over = false;
  bool operator==(const Heard&) const = default;
};

// An escaped octet: \r, \n, \t, \0.
std::string Unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[++i];
    out += next == 'r' ? '\r' : next == 'n' ? '\n' : next == 't' ? '\t' : next == '0' ? '\0' : next;
  }
  return out;
}

// Once the gate is over octets flow past it, as they do in a session.
void Say(Gate& gate, bool client, std::string_view words, size_t pace, Heard& heard) {
  while (!words.empty()) {
    std::string piece(words.substr(0, pace));
    words.remove_prefix(piece.size());
    if (gate.over()) {
      (client ? heard.server : heard.client) += piece;
    } else if (client) {
      std::string before;
      const size_t may_go = gate.TakeClient(std::as_writable_bytes(std::span(piece)), before);
      heard.server += before + piece.substr(0, may_go);
    } else {
      gate.TakeServer(AsBytes(piece), heard.client);
      if (!gate.over()) continue;
      heard.server += gate.LastOfClient();
      heard.client += gate.LastOfServer();
    }
  }
}

// `expected`: what should come out.
Heard Play(const Case& test, size_t pace, Heard& expected) {
  const auto gate =
      MakeGate({.protocol = test.protocol, .greeted = test.greeted, .chunking = test.chunking});
  Heard heard;
  expected.over = test.over;
  std::vector<std::string> lines;
  for (std::string_view rest = test.transcript; !rest.empty();) {
    const size_t end = rest.find('\n');
    lines.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    REQUIRE((line.size() >= 3 && line.substr(1, 2) == ": "));
    const bool client = line[0] == 'C' || line[0] == 'c';
    const std::string_view end = line[0] == 'C' || line[0] == 'S' ? "\r\n" : "";
    const std::string words = Unescaped(line.substr(3)).append(end);
    std::string out = words;
    if (i + 1 < lines.size() && lines[i + 1].starts_with("-> ")) {
      out = Unescaped(lines[++i].substr(3)).append(end);
      if (out == "-\r\n" || out == "-") out.clear();
    }
    (client ? expected.server : expected.client) += out;
    Say(*gate, client, words, pace, heard);
  }
  heard.over = gate->over();
  if (!heard.over) {
    heard.server += gate->LastOfClient();
    heard.client += gate->LastOfServer();
  }
  return heard;
}

const Case kCases[] = {
    {"SMTP: what is Postern's to say never reaches the server", kSmtp,
     "S: 220 mx\n"
     "C: XCLIENT ADDR=10.9.9.9\n-> XXXXXXX ADDR=10.9.9.9\n"
     "S: 500 what?\n"
     "C: xForward NAME=a\n-> XXXXXXXX NAME=a\n"
     "S: 500 what?\n"
     "C: STARTTLS\n-> XXXXXXXX\n"
     "S: 500 what?\n"
     "C:  \\tXCLIENT\\tADDR=10.9.9.9\n->  \\tXXXXXXX\\tADDR=10.9.9.9\n"
     "c: NOOP\\nXCLIENT ADDR=a\\rXCLIENT ADDR=b\\n\n-> NOOP\\nXXXXXXX ADDR=a\\rXXXXXXX ADDR=b\\n\n"
     "c: \\0XCLIENT\\0ADDR=c\\r\\n\n-> \\0XXXXXXX\\0ADDR=c\\r\\n\n"},
    {"SMTP: words that only begin so, or stand elsewhere", kSmtp,
     "S: 220 mx\n"
     "C: XCLIENTS are welcome\n"
     "C: XCLIENT2 x\n"
     "C: STARTTLS+abc=\n"
     "C: HELP XCLIENT\n"
     "C: S\n"
     "C: \n"
     "C: XFOR\n"},
    {"SMTP: EHLO's answers, however often", kSmtp,
     "S: 220-mx\n"
     "S: 220 STARTTLS is no keyword here\n"
     "C: HELO c\n"
     "S: 250 mx\n"
     "C: EHLO c\n"
     "S: 250-mx\n"
     "S: 250-STARTTLS\n-> -\n"
     "S: 250-PIPELINING\n"
     "S: 250-XCLIENT NAME ADDR\n-> -\n"
     "S: 250-xforward NAME\n-> -\n"
     "S: 250-XRCPTFORWARD\n-> -\n"
     "S: 250 DSN\n"
     "C: EHLO c\n"
     "S: 250-mx\n"
     "S: 250-PIPELINING\n-> 250 PIPELINING\n"
     "S: 250 STARTTLS\n-> -\n"
     "C: EHLO c\n"
     "S: 250-mx\n-> 250 mx\n"
     "S: 250 STARTTLS\n-> -\n"
     "C: HELP\n"
     "S: 214-XCLIENT\n"
     "S: 214 STARTTLS\n"},
    {"SMTP: a mail passes as it is, and between two mails the gate stands", kSmtp,
     "S: 220 mx\n"
     "C: MAIL FROM:<a@b>\n"
     "C: RCPT TO:<c@d>\n"
     "C: DATA\n"
     "S: 250 ok\n"
     "S: 250 ok\n"
     "S: 354 go\n"
     "C: XCLIENT is a word\n"
     "c: \\nSTARTTLS \\rXFORWARD\\n\n"
     "C: ..\n"
     "C: .STARTTLS\n"
     "c: STARTTLS\n"
     "c:  .\n"
     "C: \n"
     "C: XCLIENT\n"
     "C: .\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"
     "S: 250 taken\n"
     "S: 500 what?\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: .\n"
     "S: 250 taken\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"
     "S: 500 what?\n"
     "C: DATA\n"
     "S: 503 no\n"
     "C: RSET\n"
     "C: DATA\n"
     "S: 250 ok\n"
     "S: 354 go\n"
     "C: XCLIENT\n"
     "C: .\n"
     "C: STARTTLS\n-> XXXXXXXX\n"},
    {"SMTP: who does not wait for 354 is looked at to the end", kSmtp,
     "S: 220 mx\n"
     "C: DATA\n"
     "C: .\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"
     "S: 250 taken\n"
     "S: 503 no\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: XCLIENT of a mail\n-> XXXXXXX of a mail\n"},
    {"SMTP: no 354 but the answer to DATA", kSmtp,
     "S: 220 mx\n"
     "C: NOOP\n"
     "S: 354 go\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"},
    {"SMTP: an end of a mail that not all take for one", kSmtp,
     "S: 220 mx\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: XCLIENT\n"
     "c: x\\n.\\n\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"
     "C: .\n"},
    {"SMTP: and others", kSmtp,
     "S: 220 mx\n"
     "C: DATA\n"
     "S: 354 go\n"
     "c: x\\r\\n.\\rXCLIENT ADDR=1\n-> x\\r\\n.\\rXXXXXXX ADDR=1\n"
     "C: \n"},
    {"SMTP: lines that may be two", kSmtp,
     "S: 220 mx\n"
     "c: NOOP\\nDATA\\r\\n\n"
     "S: 250 ok\n"
     "S: 354 go\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"},
    {"SMTP: what follows AUTH may be no command", kSmtp,
     "S: 220 mx\n"
     "C: AUTH LOGIN\n"
     "S: 334 \n"
     "C: BDAT 20\n"
     "S: 535 no\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n",
     false, false, true},
    {"SMTP: behind a login octets flow", kSmtp,
     "S: 220 mx\n"
     "C: AUTH PLAIN AGEAYg==\n"
     "S: 235 ok\n"
     "C: STARTTLS\n"
     "S: 250-mx\n"
     "S: 250 STARTTLS\n",
     true},
    {"SMTP: chunks", kSmtp,
     "C: EHLO c\n"
     "S: 250-mx\n"
     "S: 250 CHUNKING\n"
     "C: MAIL FROM:<a@b>\n"
     "C: RCPT TO:<c@d>\n"
     "C: BDAT 9\n"
     "C: XCLIENT\n"
     "C: BDAT 10 LAST\n"
     "C: STARTTLS\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"
     "C: BDAT 0 LAST\n"
     "C: STARTTLS\n-> XXXXXXXX\n",
     false, true},
    {"SMTP: a chunk is none to a server that did not offer it, or not so", kSmtp,
     "C: BDAT 10\n"
     "C: STARTTLS\n-> XXXXXXXX\n",
     false, true},
    {"SMTP: a chunk of no size", kSmtp,
     "C: BDAT +10\n"
     "C: STARTTLS\n-> XXXXXXXX\n",
     false, true, true},
    {"LMTP: an answer for each recipient", kLmtp,
     "C: MAIL FROM:<a@b>\n"
     "S: 250 ok\n"
     "C: RCPT TO:<c@d>\n"
     "C: RCPT TO:<e@d>\n"
     "C: RCPT TO:<f@d>\n"
     "S: 250 ok\n"
     "S: 550 no\n"
     "S: 250 ok\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: XCLIENT\n"
     "C: .\n"
     "S: 250 taken\n"
     "S: 250 taken\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"
     "S: 500 no\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: XCLIENT\n",
     false, true},
    {"LMTP: what a proxy would say of a recipient", kLmtp,
     "S: 220 mx\n"
     "C: RCPT TO:<a@b> XRCPTFORWARD=cGxhY2U9eA\n-> RCPT TO:<a@b> XXXXXXXXXXXX=cGxhY2U9eA\n"
     "C: rcpt TO:<a@b> NOTIFY=NEVER xrcptForward=x ORCPT=rfc822;XRCPTFORWARD=x XRCPTFORWARD\n"
     "-> rcpt TO:<a@b> NOTIFY=NEVER XXXXXXXXXXXX=x ORCPT=rfc822;XRCPTFORWARD=x XXXXXXXXXXXX\n"
     "c:  \\0RCPT\\tTO:<a@b>\\tXRCPTFORWARD=x\\n\n"
     "->  \\0RCPT\\tTO:<a@b>\\tXXXXXXXXXXXX=x\\n\n"
     "c: NOOP\\rRCPT TO:<a@b>  XRCPTFORWARD=x\\n\n"
     "-> NOOP\\rRCPT TO:<a@b>  XXXXXXXXXXXX=x\\n\n"},
    {"LMTP: parameters that only begin so, and other commands", kLmtp,
     "S: 220 mx\n"
     "C: RCPT TO:<xrcptforward@b> XRCPTFORWARDS=x XRCPTFORWARD1=x AXRCPTFORWARD=x\n"
     "C: RCPT TO:<XRCPTFORWARD=x@b>\n"
     "C: RCPTS TO:<a@b> XRCPTFORWARD=x\n"
     "C: NOOP RCPT XRCPTFORWARD=x\n"
     "C: RCPT XCLIENT STARTTLS\n"
     "C: XCLIENT XRCPTFORWARD=x\n-> XXXXXXX XRCPTFORWARD=x\n"
     "C: MAIL FROM:<a@b> XRCPTFORWARD=x\n"},
    {"LMTP: a mail may speak of recipients, unless it cannot be told from commands", kLmtp,
     "C: RCPT TO:<a@b>\n"
     "S: 250 ok\n"
     "C: DATA\n"
     "S: 354 go\n"
     "C: RCPT TO:<a@b> XRCPTFORWARD=x\n"
     "c: .\\nRCPT TO:<a@b> XRCPTFORWARD=x\\r\\n\n"
     "-> .\\nRCPT TO:<a@b> XXXXXXXXXXXX=x\\r\\n\n"
     "C: a RCPT XRCPTFORWARD=x\n",
     false, true},

    {"IMAP: STARTTLS, wherever the server may see a command in it", kImap,
     "S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\n"
     "-> * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\n"
     "C: a STARTTLS\n-> a XXXXXXXX\n"
     "S: a BAD no\n"
     "C: b  starttls now\n-> b  XXXXXXXX now\n"
     "C:  StartTLS\n->  XXXXXXXX\n"
     "C: c\\tx STARTTLS\n-> c\\tx XXXXXXXX\n"
     "C: d LOGIN {20}\n"
     "C: e STARTTLS\n-> e XXXXXXXX\n"
     "C: d NOOP STARTTLS\n"
     "C: f CAPABILITY\n"
     "S: * CAPABILITY STARTTLS IMAP4rev1 STARTTLS\n-> * CAPABILITY IMAP4rev1\n"
     "S: f OK [CAPABILITY IMAP4rev1 STARTTLS] STARTTLS]\n-> f OK [CAPABILITY IMAP4rev1] "
     "STARTTLS]\n"},
    {"IMAP: fields of ID that say who the client is, in whatever string", kImap,
     "S: * OK ready\n"
     "C: a ID (\"name\" \"x-mailer\" \"x-originating-ip\" \"10.9.9.9\")\n"
     "-> a ID (\"name\" \"x-mailer\" \"XXXXXXXXXXXXXXip\" \"10.9.9.9\")\n"
     "C: b ID (\"X\\\\-Session\\\\-ID\" {16+}\n-> b ID (\"XXXXXXXXXXXXID\" {16+}\n"
     "C: x-connected-port \"x-proxy-ttl\" \"x-forward-y\" X-origin)\n"
     "-> XXXXXXXXXXXXport \"XXXXXXXXXXX\" \"XXXXXXXXXXy\" X-origin)\n"
     "C: c ID (\"ax-originating-ip\" \"x-x-session-id\" \"x-\")\n"},
    {"IMAP: behind a login octets flow", kImap,
     "S: * OK ready\n"
     "C: a LOGIN u p\n"
     "S: a OK [CAPABILITY IMAP4rev1 STARTTLS] in\n-> a OK [CAPABILITY IMAP4rev1] in\n"
     "C: b STARTTLS\n"
     "S: * CAPABILITY STARTTLS\n",
     true},
    {"IMAP: something else is no login", kImap,
     "S: * OK ready\n"
     "C: a AUTHENTICATE PLAIN\n"
     "C: t LOGIN u p\n"
     "C: t NOOP\n"
     "S: + \n"
     "S: a BAD no\n"
     "S: t OK done\n"
     "C: b STARTTLS\n-> b XXXXXXXX\n"},

    {"POP3: XCLIENT and STLS", kPop3,
     "S: +OK [XCLIENT] ready\n-> +OK ready\n"
     "C: XCLIENT ADDR=10.9.9.9\n-> XXXXXXX ADDR=10.9.9.9\n"
     "S: -ERR what?\n"
     "C: stls\n-> XXXX\n"
     "S: -ERR what?\n"
     "C: CAPA\n"
     "S: +OK\n"
     "S: STLS\n-> -\n"
     "S: USER\n"
     "S: .\n"
     "C: USER u\n"
     "S: +OK\n"
     "C: PASS p\n"
     "S: +OK in\n"
     "C: STLS\n"
     "S: STLS\n",
     true},
    {"POP3: an answer to something else is no login", kPop3,
     "S: +OK ready\n"
     "C: AUTH PLAIN\n"
     "C: PASS x\n"
     "C: PASS x\n"
     "C: USER u\n"
     "S: + \n"
     "S: -ERR no\n"
     "S: -ERR no\n"
     "S: +OK\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n"},
    {"POP3: a login by AUTH, and a response that looks like a command", kPop3,
     "C: AUTH PLAIN\n"
     "S: + \n"
     "C: STLS+STLS/stls==\n"
     "S: +OK in\n",
     true, true},

    {"ManageSieve: XCLIENT and STARTTLS", kSieve,
     "S: \"IMPLEMENTATION\" \"x\"\n"
     "S: \"STARTTLS\"\n-> -\n"
     "S: \"XCLIENT\"\n-> -\n"
     "S: OK\n"
     "C: xclient ADDR=10.9.9.9\n-> XXXXXXX ADDR=10.9.9.9\n"
     "S: NO what?\n"
     "C: STARTTLS\n-> XXXXXXXX\n"
     "S: NO what?\n"
     "C: AUTHENTICATE \"PLAIN\" {10+}\n"
     "C: STARTTLS\n-> XXXXXXXX\n"
     "C: \n"
     "S: NO no\n"
     "C: AUTHENTICATE \"PLAIN\"\n"
     "S: \"\"\n"
     "C: {4+}\n"
     "C: abcd\n"
     "S: OK\n"
     "S: \"STARTTLS\"\n",
     true},
    {"ManageSieve: an answer to what stood in a refused literal is no login", kSieve,
     "C: {6+}\n"
     "C: NOOP\n"
     "C: AUTHENTICATE \"X\"\n"
     "S: NO what?\n"
     "S: OK\n"
     "S: NO no\n"
     "C: XCLIENT ADDR=1\n-> XXXXXXX ADDR=1\n",
     false, true},
};

}  // namespace

TEST_CASE("gate: transcripts, whole and cut anywhere") {
  constexpr size_t kLongestLine = 128;  // whole, at this pace
  for (const Case& test : kCases) {
    for (size_t pace = 1; pace <= kLongestLine; ++pace) {
      CAPTURE(test.what, pace);
      Heard expected;
      const Heard heard = Play(test, pace, expected);
      CHECK(heard.server == expected.server);
      CHECK(heard.client == expected.client);
      CHECK(heard.over == expected.over);
    }
  }
}

TEST_CASE("gate: PREAUTH does not reach the client") {
  const auto gate = MakeGate({.protocol = kImap});
  std::string to_client;
  gate->TakeServer(AsBytes("* PRE"), to_client);
  CHECK_FALSE(gate->preauth());
  gate->TakeServer(AsBytes("AUTH as somebody\r\n* OK\r\n"), to_client);
  CHECK(gate->preauth());
  CHECK(to_client.empty());
  const auto later = MakeGate({.protocol = kImap, .greeted = true});
  later->TakeServer(AsBytes("* PREAUTH no greeting\r\n"), to_client);
  CHECK_FALSE(later->preauth());
  CHECK(to_client == "* PREAUTH no greeting\r\n");
}

TEST_CASE("gate: nothing waits that is not in question") {
  struct Begun {
    DialogProtocol protocol;
    std::string_view server;
    std::string_view client;
  };
  for (const Begun& begun : {Begun{kImap, "* OK half of", "a FETCH"}, Begun{kSmtp, "354 go", "MAI"},
                             Begun{kPop3, "-ERR no", "PA"}, Begun{kSieve, "OK \"in", "NO"}}) {
    const auto gate = MakeGate({.protocol = begun.protocol, .greeted = true});
    std::string heard;
    gate->TakeServer(AsBytes(begun.server), heard);
    CHECK(heard == begun.server);
    std::string said(begun.client);
    CHECK(gate->TakeClient(std::as_writable_bytes(std::span(said)), heard) == said.size());
  }
}

TEST_CASE("gate: a line without an end is held in bounded memory") {
  for (const DialogProtocol protocol : {kImap, kPop3, kSmtp, kLmtp, kSieve}) {
    const auto gate = MakeGate({.protocol = protocol, .greeted = true});
    const size_t size = 4 * limits::kMaxDialogLine;
    std::string heard;
    gate->TakeServer(AsBytes("* CAPABILITY "), heard);
    for (const char* words : {"250-x", "\r\n250-x"}) {
      gate->TakeServer(AsBytes(words + std::string(size, 'x')), heard);
    }
    CHECK(heard.size() > 2 * size);
    std::string said(size, ' ');
    CHECK(gate->TakeClient(std::as_writable_bytes(std::span(said)), heard) == said.size());
  }
}

}  // namespace postern::mail
