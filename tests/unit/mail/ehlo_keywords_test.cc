#include "mail/ehlo_keywords.h"

#include <string>

#include "tests/unit/catch.h"

namespace postern::mail {

TEST_CASE("ehlo keywords: what is the server's to offer") {
  for (const char* line :
       {"PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME", "DSN",
        "ETRN", "LIMITS RCPTMAX=100", "STARTTLSX", "AUTHX", "X-SOMETHING new"}) {
    INFO(line);
    CHECK(MayBeOffered(line, Channel::kPlain));
    CHECK(MayBeOffered(line, Channel::kTls));
  }
}

TEST_CASE("ehlo keywords: what is Postern's") {
  for (const char* line : {"STARTTLS", "starttls", "XCLIENT NAME ADDR", "xforward name",
                           "X-ANONYMOUSTLS", "STARTTLS x", "XCLIENT=NAME"}) {
    INFO(line);
    CHECK_FALSE(MayBeOffered(line, Channel::kPlain));
    CHECK_FALSE(MayBeOffered(line, Channel::kTls));
  }
}

TEST_CASE("ehlo keywords: what takes TLS") {
  for (const char* line : {"AUTH PLAIN LOGIN", "auth", "AUTH=PLAIN", "REQUIRETLS", "X-EXPS NTLM"}) {
    INFO(line);
    CHECK_FALSE(MayBeOffered(line, Channel::kPlain));
    CHECK(MayBeOffered(line, Channel::kTls));
  }
}

TEST_CASE("ehlo keywords: what is said of one session") {
  for (const char* line : {"Ok SESSIONID=<mx-1795988092-12475-1-21898827>", "OK"}) {
    INFO(line);
    CHECK_FALSE(MayBeOffered(line, Channel::kPlain));
    CHECK(MayBeOffered(line, Channel::kTls));
  }
  CHECK(MayBeOffered("OKAY", Channel::kPlain));
}

TEST_CASE("ehlo keywords: what cannot stand in a reply") {
  const std::string longest(506, 'X');
  CHECK(MayBeOffered(longest, Channel::kTls));
  for (const std::string& line :
       {std::string(), longest + "X", std::string("SIZE\r\n250 X"), std::string("SIZE\n"),
        std::string("A\0B", 3), std::string("A\tB"), std::string("\xC3\xBC")}) {
    CHECK_FALSE(MayBeOffered(line, Channel::kTls));
  }
}

}  // namespace postern::mail
