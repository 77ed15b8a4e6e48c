#include "bench/load/mail_responder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace postern::bench {
namespace {

// The one mail of the mailbox: some 2 KB, as a short one has with its headers.
const std::string& Message() {
  static const std::string message = [] {
    std::string text =
        "From: a@example.com\r\nTo: b@example.com\r\nSubject: measured\r\n"
        "Date: Sun, 1 Nov 2026 00:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n";
    while (text.size() < 2000) text += "The quick brown fox jumps over the lazy dog, again.\r\n";
    return text;
  }();
  return message;
}

std::string_view TakeWord(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::string_view MailResponder::Greeting() const {
  switch (service_) {
    case Service::kImap:
    case Service::kRaw:
      return "* OK ready\r\n";
    case Service::kPop3:
      return "+OK ready\r\n";
    case Service::kSmtp:
      return "220 bench.invalid ESMTP ready\r\n";
    case Service::kHttp:
      return "";
  }
  return "";
}

MailResponder::Answer MailResponder::Take(std::string_view line) {
  switch (service_) {
    case Service::kImap:
    case Service::kRaw:
      return TakeImap(line);
    case Service::kPop3:
      return TakePop3(line);
    case Service::kSmtp:
      return TakeSmtp(line);
    case Service::kHttp:
      // A request without a body ends with an empty line.
      if (!line.empty()) return {};
      return {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nOK\n"};
  }
  return {};
}

MailResponder::Answer MailResponder::TakeImap(std::string_view line) {
  if (!idle_tag_.empty()) {
    if (Upper(line) != "DONE") return {idle_tag_ + " BAD DONE expected\r\n", true};
    return {std::exchange(idle_tag_, {}) + " OK done\r\n"};
  }
  const std::string tag(TakeWord(line));
  const std::string command = Upper(TakeWord(line));
  if (tag.empty()) return {"* BAD no tag\r\n"};
  const std::string ok = tag + " OK done\r\n";
  if (IsOneOf(command, {"LOGIN", "AUTHENTICATE", "NOOP", "CLOSE", "CHECK", "UNSELECT"})) {
    return {ok};
  }
  if (command == "CAPABILITY") return {"* CAPABILITY IMAP4rev1 IDLE\r\n" + ok};
  if (IsOneOf(command, {"SELECT", "EXAMINE"})) {
    return {
        "* FLAGS (\\Seen)\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1]\r\n"
        "* OK [UIDNEXT 2]\r\n" +
        ok};
  }
  if (IsOneOf(command, {"FETCH", "UID"})) {
    return {fmt::format("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n{})\r\n{}", Message().size(), Message(),
                        ok)};
  }
  if (command == "IDLE") {
    idle_tag_ = tag;
    return {"+ idling\r\n"};
  }
  if (command == "LOGOUT") return {"* BYE\r\n" + ok, true};
  return {tag + " BAD unknown command\r\n"};
}

MailResponder::Answer MailResponder::TakePop3(std::string_view line) {
  const std::string command = Upper(TakeWord(line));
  if (IsOneOf(command, {"USER", "PASS", "NOOP", "RSET", "DELE"})) return {"+OK\r\n"};
  if (command == "STAT") return {fmt::format("+OK 1 {}\r\n", Message().size())};
  if (command == "LIST") return {fmt::format("+OK\r\n1 {}\r\n.\r\n", Message().size())};
  if (command == "UIDL") return {"+OK\r\n1 1\r\n.\r\n"};
  if (command == "CAPA") return {"+OK\r\nUSER\r\n.\r\n"};
  if (command == "RETR") return {"+OK\r\n" + Message() + ".\r\n"};
  if (command == "QUIT") return {"+OK bye\r\n", true};
  return {"-ERR unknown command\r\n"};
}

MailResponder::Answer MailResponder::TakeSmtp(std::string_view line) {
  if (data_) {
    if (line != ".") return {};
    data_ = false;
    return {"250 taken\r\n"};
  }
  const std::string command = Upper(TakeWord(line));
  if (command == "EHLO") return {"250-bench.invalid\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n"};
  if (command == "AUTH") return {"235 welcome\r\n"};
  if (IsOneOf(command, {"HELO", "MAIL", "RCPT", "RSET", "NOOP"})) return {"250 ok\r\n"};
  if (command == "QUIT") return {"221 bye\r\n", true};
  if (command == "DATA") {
    data_ = true;
    return {"354 go ahead\r\n"};
  }
  return {"500 unknown command\r\n"};
}

}  // namespace postern::bench
