// Failed logins are what password guessing looks like from outside, and only the server knows of
// them. What it says is read: SMTP has a reply code of its own for them (RFC 4954 section 6), the
// others answer LOGIN or PASS as they answer anything, so there the client's commands are read,
// too.
//
// An octet more or less in a login changes nothing here, since the server alone decides what a
// login is. A client that goes to lengths to mislead the watch (literals that the server takes for
// commands) can keep failures of its own connection from being counted. It cannot have others
// counted, who are read only up to their first login, and never by what is in a mail.
#include "postern/mail/login_watch.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mail/line_glimpse.h"
#include "mail/literal_string.h"
#include "mail/words.h"

namespace postern::mail {
namespace {

// Commands, or tags, whose answers are waited for. Clients send one or two logins at a time; of
// more than this the oldest are forgotten.
constexpr size_t kMaxPending = 16;
constexpr size_t kMaxTag = 64;

// "CODE" of "[CODE and more] words" or "(CODE ...) words"; empty where there is none.
std::string_view ResponseCode(std::string_view text, char open, char close) {
  if (!text.starts_with(open)) return {};
  text.remove_prefix(1);
  return text.substr(0, text.find_first_of(std::string{' ', close}));
}

template <size_t N>
bool IsOneOf(std::string_view code, const std::array<std::string_view, N>& codes) {
  return std::ranges::any_of(codes, [&](auto one) { return EqualsIgnoringCase(code, one); });
}

class Watch : public LoginWatch {
 public:
  void TakeClient(Bytes octets) override {
    client_.Take(AsText(octets), [this](std::string_view line) { ClientLine(line); });
  }
  unsigned TakeServer(Bytes octets) final {
    failed_ = 0;
    server_.Take(AsText(octets), [this](std::string_view line) {
      if (!over_) ServerLine(line);
    });
    return failed_;
  }
  bool over() const final { return over_; }

 protected:
  virtual void ClientLine(std::string_view line) = 0;
  virtual void ServerLine(std::string_view line) = 0;
  void Failed() { ++failed_; }
  void Succeeded() { over_ = true; }

  LineGlimpse client_;
  LineGlimpse server_;

 private:
  unsigned failed_ = 0;
  bool over_ = false;
};

// --- SMTP ---

// 535 is said to wrong credentials and to nothing else; 454 (try later), 534 (mechanism too weak)
// and 538 (not without TLS) are no guesses.
class SmtpWatch final : public Watch {
  void TakeClient(Bytes) override {}
  void ClientLine(std::string_view) override {}
  void ServerLine(std::string_view line) override {
    const std::string_view code = line.substr(0, 3);
    if (line.size() > 3 && line[3] != ' ') return;  // more lines of the same reply follow
    if (code == "535") Failed();
    if (code == "235") Succeeded();
  }
};

// --- IMAP ---

class ImapWatch final : public Watch {
 public:
  explicit ImapWatch(bool greeted) : greeted_(greeted) {}

 private:
  void ClientLine(std::string_view line) override {
    const std::string_view whole = line;
    if (!client_continues_) {
      const std::string_view tag = TakeWord(line);
      const std::string_view verb = TakeWord(line);
      if (EqualsIgnoringCase(verb, "LOGIN") || EqualsIgnoringCase(verb, "AUTHENTICATE")) Await(tag);
    }
    const auto mark = FindLiteralMark(whole);
    client_continues_ = mark.has_value();
    asked_ = mark && mark->synchronising ? mark->size : 0;
    if (mark && !mark->synchronising) client_.Skip(mark->size);
  }

  void Await(std::string_view tag) {
    if (tag.empty() || tag.size() > kMaxTag) return;
    if (pending_.size() == kMaxPending) pending_.erase(pending_.begin());
    pending_.emplace_back(tag);
  }

  void ServerLine(std::string_view line) override {
    const auto mark = FindLiteralMark(line);
    const bool continues = std::exchange(server_continues_, mark.has_value());
    if (mark) server_.Skip(mark->size);
    if (continues) return;
    const std::string_view tag = TakeWord(line);
    const std::string_view verdict = TakeWord(line);
    if (tag == "+") {
      client_.Skip(std::exchange(asked_, 0));
    } else if (tag == "*") {
      // RFC 9051 section 7.1.4: a greeting, when it is the first answer.
      if (!std::exchange(greeted_, true) && EqualsIgnoringCase(verdict, "PREAUTH")) Succeeded();
    } else {
      Answered(tag, verdict, ResponseCode(line, '[', ']'));
    }
  }

  void Answered(std::string_view tag, std::string_view verdict, std::string_view code) {
    const bool no = EqualsIgnoringCase(verdict, "NO");
    const bool ok = EqualsIgnoringCase(verdict, "OK");
    if (!no && !ok && !EqualsIgnoringCase(verdict, "BAD")) return;
    if (std::exchange(asked_, 0) != 0) client_continues_ = false;  // the literal is not wanted
    const auto login = std::ranges::find(pending_, tag);
    if (login != pending_.end()) {
      pending_.erase(login);
      if (ok) Succeeded();
      // RFC 5530: the others say nothing of the password.
      static constexpr std::array<std::string_view, 8> kNoGuess = {
          "UNAVAILABLE", "PRIVACYREQUIRED", "CONTACTADMIN", "SERVERBUG",
          "LIMIT",       "INUSE",           "EXPIRED",      "REFERRAL"};
      if (no && !IsOneOf(code, kNoGuess)) Failed();
    } else if (no && EqualsIgnoringCase(code, "AUTHENTICATIONFAILED")) {
      Failed();
    }
  }

  std::vector<std::string> pending_;  // tags of logins
  uint32_t asked_ = 0;                // octets of a literal that the client asks leave for
  bool client_continues_ = false;     // the client's next line belongs to a command
  bool server_continues_ = false;
  bool greeted_;
};

// --- POP3 and ManageSieve: answers come in the order of commands ---

class OrderedWatch : public Watch {
 protected:
  explicit OrderedWatch(bool greeted) : greeted_(greeted) {}

  enum class Command : uint8_t {
    kOther,
    kLogin,
    kList,  // POP3: a good answer has lines, and a dot ends them
  };
  void Await(Command command) {
    if (pending_.size() == kMaxPending) pending_.erase(pending_.begin());
    pending_.push_back(command);
  }
  Command first() const { return pending_.empty() ? Command::kOther : pending_.front(); }
  // Answered gives the command that the server's next answer is about; kOther for the greeting.
  Command Answered() {
    const Command command = first();
    if (!std::exchange(greeted_, true)) return Command::kOther;
    if (!pending_.empty()) pending_.erase(pending_.begin());
    return command;
  }

 private:
  std::vector<Command> pending_;
  bool greeted_;
};

class Pop3Watch final : public OrderedWatch {
 public:
  explicit Pop3Watch(bool greeted) : OrderedWatch(greeted) {}

 private:
  void ClientLine(std::string_view line) override {
    if (std::exchange(answers_challenge_, false)) return;
    const std::string_view verb = TakeWord(line);
    const bool auth = EqualsIgnoringCase(verb, "AUTH");
    const bool alone = WithoutTrailingSpace(line).empty();
    if (EqualsIgnoringCase(verb, "PASS") || EqualsIgnoringCase(verb, "APOP") || (auth && !alone)) {
      Await(Command::kLogin);
    } else if (EqualsIgnoringCase(verb, "CAPA") ||
               ((auth || EqualsIgnoringCase(verb, "LANG")) && alone)) {
      Await(Command::kList);
    } else {
      Await(Command::kOther);
    }
  }

  void ServerLine(std::string_view line) override {
    if (listing_) {
      listing_ = line != ".";
      return;
    }
    const std::string_view verdict = TakeWord(line);
    if (verdict == "+") {  // RFC 5034 section 4: a challenge
      answers_challenge_ = first() == Command::kLogin;
      return;
    }
    const bool ok = EqualsIgnoringCase(verdict, "+OK");
    if (!ok && !EqualsIgnoringCase(verdict, "-ERR")) return;
    const Command command = Answered();
    listing_ = ok && command == Command::kList;
    if (ok && command == Command::kLogin) Succeeded();
    if (ok) return;
    const std::string_view code = ResponseCode(line, '[', ']');
    // RFC 3206 and RFC 2449 section 8: the others say nothing of the password.
    static constexpr std::array<std::string_view, 4> kNoGuess = {"SYS/TEMP", "SYS/PERM", "IN-USE",
                                                                 "LOGIN-DELAY"};
    if (EqualsIgnoringCase(code, "AUTH") ||
        (command == Command::kLogin && !IsOneOf(code, kNoGuess))) {
      Failed();
    }
  }

  bool answers_challenge_ = false;  // the client's next line is no command
  bool listing_ = false;
};

class SieveWatch final : public OrderedWatch {
 public:
  explicit SieveWatch(bool greeted) : OrderedWatch(greeted) {}

 private:
  // A line that begins with a string is the answer to a challenge.
  void ClientLine(std::string_view line) override {
    const std::string_view whole = line;
    const bool continues = std::exchange(client_continues_, false);
    const auto mark = FindLiteralMark(whole);
    if (mark) client_.Skip(mark->size);
    client_continues_ = mark.has_value();
    if (continues || line.empty() || line.starts_with('"') || line.starts_with('{')) return;
    Await(EqualsIgnoringCase(TakeWord(line), "AUTHENTICATE") ? Command::kLogin : Command::kOther);
  }

  void ServerLine(std::string_view line) override {
    const auto mark = FindLiteralMark(line);
    const bool continues = std::exchange(server_continues_, mark.has_value());
    if (mark) server_.Skip(mark->size);
    if (continues) return;
    const std::string_view verdict = TakeWord(line);
    const bool ok = EqualsIgnoringCase(verdict, "OK");
    if (!ok && !EqualsIgnoringCase(verdict, "NO")) return;
    if (Answered() != Command::kLogin) return;
    if (ok) Succeeded();
    // RFC 5804 section 1.3: the others say nothing of the password.
    static constexpr std::array<std::string_view, 4> kNoGuess = {
        "TRYLATER", "ENCRYPT-NEEDED", "TRANSITION-NEEDED", "AUTH-TOO-WEAK"};
    if (!ok && !IsOneOf(ResponseCode(line, '(', ')'), kNoGuess)) Failed();
  }

  bool client_continues_ = false;
  bool server_continues_ = false;
};

}  // namespace

std::unique_ptr<LoginWatch> WatchLogins(DialogProtocol protocol, bool greeted) {
  switch (protocol) {
    case DialogProtocol::kImap:
      return std::make_unique<ImapWatch>(greeted);
    case DialogProtocol::kPop3:
      return std::make_unique<Pop3Watch>(greeted);
    case DialogProtocol::kSmtp:
      return std::make_unique<SmtpWatch>();
    case DialogProtocol::kLmtp:
      return nullptr;
    case DialogProtocol::kSieve:
      return std::make_unique<SieveWatch>(greeted);
  }
  return nullptr;
}

}  // namespace postern::mail
