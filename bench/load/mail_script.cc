#include "bench/load/mail_script.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace postern::bench {
namespace {

constexpr size_t kMaxLine = 64 * 1024;

const std::string& Message() {
  static const std::string message = [] {
    std::string text =
        "From: <bench@localhost>\r\nTo: <bench@localhost>\r\nSubject: measured\r\n\r\n";
    while (text.size() < 2000) text += "A line of a message that is there to be carried about.\r\n";
    return text + ".\r\n";
  }();
  return message;
}

// RFC 9051 section 4.3: a string in quotes.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// RFC 4616: authorization identity (none), name, password.
std::string PlainResponse(const Login& login) {
  const std::string text = '\0' + login.name + '\0' + login.password;
  std::string encoded(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  encoded.resize(static_cast<size_t>(size));
  return encoded;
}

uint64_t Number(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// RFC 9051 section 4.3: a line that ends in "{N}" is followed by N octets.
size_t LiteralBehind(std::string_view line) {
  const size_t open = line.rfind('{');
  if (open == std::string_view::npos || !line.ends_with('}')) return 0;
  return Number(line.substr(open + 1));
}

}  // namespace

std::string MailScript::Begin() {
  return TakeLine(service_ == Service::kImap   ? "* OK"
                  : service_ == Service::kPop3 ? "+OK"
                                               : "220 ")
      .send;
}

MailScript::Outcome MailScript::Take(std::string_view octets) {
  Outcome all;
  while (!octets.empty()) {
    if (literal_ > 0) {
      const size_t some = std::min(literal_, octets.size());
      literal_ -= some;
      octets.remove_prefix(some);
      continue;
    }
    const size_t end = octets.find('\n');
    partial_ += octets.substr(0, end);
    octets.remove_prefix(end == std::string_view::npos ? octets.size() : end + 1);
    if (partial_.size() > kMaxLine) return {.failed = "mail: a line does not end"};
    if (end == std::string_view::npos) break;
    std::string line = std::exchange(partial_, {});
    if (line.ends_with('\r')) line.pop_back();
    Outcome one = TakeLine(line);
    all.send += one.send;
    all.rest = one.rest;
    all.done = one.done;
    all.failed = std::move(one.failed);
    if (all.done || !all.failed.empty()) break;
  }
  return all;
}

MailScript::Outcome MailScript::TakeLine(std::string_view line) {
  switch (service_) {
    case Service::kImap:
      return TakeImap(line);
    case Service::kPop3:
      return TakePop3(line);
    case Service::kSmtp:
      return TakeSmtp(line);
    case Service::kRaw:
    case Service::kHttp:
      break;
  }
  return {.failed = "mail: no mail service"};
}

MailScript::Outcome MailScript::Refused(std::string_view line) const {
  // Passwords are not in what servers say.
  return {.failed = fmt::format("mail: the server said \"{}\"", line.substr(0, 80))};
}

MailScript::Outcome MailScript::Command(Step step, std::string_view text) {
  step_ = step;
  if (service_ != Service::kImap) return {.send = fmt::format("{}\r\n", text)};
  tag_ = fmt::format("a{}", ++number_);
  return {.send = fmt::format("{} {}\r\n", tag_, text)};
}

// --- IMAP ---

MailScript::Outcome MailScript::NextImap() {
  const bool fetch = step_ == Step::kDone && round_ % 2 == 0 && exists_ > 0;
  if (fetch) return Command(Step::kFetch, fmt::format("FETCH {} BODY.PEEK[]", exists_));
  if (round_ < kIdleRounds) return Command(Step::kIdle, "IDLE");
  return Command(Step::kQuit, "LOGOUT");
}

std::string MailScript::Rested() {
  step_ = Step::kDone;
  ++round_;
  return "DONE\r\n";
}

MailScript::Outcome MailScript::TakeImap(std::string_view line) {
  if (step_ == Step::kGreeting) {
    if (!line.starts_with("* OK")) return Refused(line);
    return Command(Step::kLogin,
                   fmt::format("LOGIN {} {}", Quoted(login_.name), Quoted(login_.password)));
  }
  literal_ = LiteralBehind(line);
  if (literal_ > 0 && step_ == Step::kFetch) ++messages_;
  if (line.starts_with("* ")) {
    if (line.ends_with(" EXISTS")) exists_ = static_cast<uint32_t>(Number(line.substr(2)));
    if (line.starts_with("* BYE") && step_ != Step::kQuit) return Refused(line);
    return {};
  }
  if (line.starts_with('+')) return step_ == Step::kIdle ? Outcome{.rest = true} : Refused(line);
  // What follows a literal is the end of its untagged answer.
  if (!line.starts_with(tag_ + ' ')) {
    return step_ == Step::kFetch && line.ends_with(')') ? Outcome{} : Refused(line);
  }
  if (!line.substr(tag_.size() + 1).starts_with("OK")) return Refused(line);
  if (step_ == Step::kQuit) return {.done = true};
  if (step_ == Step::kLogin) return Command(Step::kSelect, "SELECT INBOX");
  return NextImap();
}

// --- POP3 ---

MailScript::Outcome MailScript::TakePop3(std::string_view line) {
  if (multiline_) {
    if (line != ".") return {};
    multiline_ = false;
    ++messages_;
    return Command(Step::kQuit, "QUIT");
  }
  if (!line.starts_with("+OK")) return Refused(line);
  switch (step_) {
    case Step::kGreeting:
      return Command(Step::kLogin, "USER " + login_.name);
    case Step::kLogin:
      return Command(Step::kPassword, "PASS " + login_.password);
    case Step::kPassword:
      return Command(Step::kSelect, "STAT");
    case Step::kSelect:
      exists_ = line.size() > 4 ? static_cast<uint32_t>(Number(line.substr(4))) : 0;
      if (exists_ == 0) return Command(Step::kQuit, "QUIT");
      return Command(Step::kFetch, fmt::format("RETR {}", exists_));
    case Step::kFetch:
      multiline_ = true;
      return {};
    case Step::kQuit:
      return {.done = true};
    case Step::kIdle:
    case Step::kDone:
    case Step::kMail:
    case Step::kRecipient:
    case Step::kData:
    case Step::kMessage:
      break;
  }
  return Refused(line);
}

// --- SMTP ---

MailScript::Outcome MailScript::TakeSmtp(std::string_view line) {
  if (line.size() >= 4 && line[3] == '-') return {};  // more lines of this reply follow
  const auto expect = [line](std::string_view code) { return line.starts_with(code); };
  switch (step_) {
    case Step::kGreeting:
      return expect("220") ? Command(Step::kSelect, "EHLO bench.invalid") : Refused(line);
    case Step::kSelect:
      return expect("250") ? Command(Step::kLogin, "AUTH PLAIN " + PlainResponse(login_))
                           : Refused(line);
    case Step::kLogin:
      return expect("235") ? Command(Step::kMail, "MAIL FROM:<bench@localhost>") : Refused(line);
    case Step::kMail:
      return expect("250") ? Command(Step::kRecipient, fmt::format("RCPT TO:<{}>", Recipient()))
                           : Refused(line);
    case Step::kRecipient:
      return expect("25") ? Command(Step::kData, "DATA") : Refused(line);
    case Step::kData:
      if (!expect("354")) return Refused(line);
      step_ = Step::kMessage;
      return {.send = Message()};
    case Step::kMessage:
      if (!expect("250")) return Refused(line);
      ++messages_;
      return Command(Step::kQuit, "QUIT");
    case Step::kQuit:
      return expect("221") ? Outcome{.done = true} : Refused(line);
    case Step::kPassword:
    case Step::kIdle:
    case Step::kDone:
    case Step::kFetch:
      break;
  }
  return Refused(line);
}

std::string MailScript::Recipient() const {
  return login_.name.find('@') != std::string::npos ? login_.name : login_.name + "@localhost";
}

}  // namespace postern::bench
