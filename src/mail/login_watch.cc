// Failed logins are what password guessing looks like from outside, and only the server knows of
// them. What it says is read: SMTP has a reply code of its own for them (RFC 4954 section 6), the
// others answer LOGIN or PASS as they answer anything, so there the client's commands are read,
// too.
//
// With the first login that succeeds more ends than the counting (mail/gate), so a client must not
// be able to have something else taken for it. IMAP's answers name the command that they answer,
// and a tag that was seen in a line that begins no login is no login's: that covers whatever is no
// command but looks like one (literals, answers to challenges). In POP3 and ManageSieve each line
// and each command has one answer, in their order. A client that confuses the watch is looked at to
// the end of its connection, and its failures may not be counted.
#include "postern/mail/login_watch.h"

#include <algorithm>
#include <array>
#include <cstddef>
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

// Commands, or tags, whose answers are waited for. Before a login clients send few at a time; who
// sends more is taken for none that has logged in.
constexpr size_t kMaxPending = 64;
constexpr size_t kMaxTag = 64;
// The longest literal that is taken for part of a login: half of what servers take as a command.
constexpr size_t kMaxLoginLiteral = limits::kMaxDialogLine / 2;

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
  // Every line, as if it began a command.
  void ClientLine(std::string_view line) override {
    while (line.starts_with(' ')) line.remove_prefix(1);
    const std::string_view tag = TakeWord(line);
    if (line.empty() || tag.size() > kMaxTag) return;  // no command, or no login
    const std::string_view verb = TakeWord(line);
    const bool login =
        EqualsIgnoringCase(verb, "LOGIN") || EqualsIgnoringCase(verb, "AUTHENTICATE");
    const auto same = std::ranges::find(pending_, tag, &Command::tag);
    if (same != pending_.end()) {
      same->login = same->login && login;
    } else if (pending_.size() < kMaxPending) {
      pending_.push_back({std::string(tag), login});
    } else {
      lost_ = true;
    }
  }

  void ServerLine(std::string_view line) override {
    const auto mark = FindLiteralMark(line);
    const bool continues = std::exchange(server_continues_, mark.has_value());
    if (mark) server_.Skip(mark->size);
    if (continues) return;
    const std::string_view tag = TakeWord(line);
    const std::string_view verdict = TakeWord(line);
    if (tag == "+") return;
    if (tag == "*") {
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
    const auto command = std::ranges::find(pending_, tag, &Command::tag);
    const bool login = command != pending_.end() && command->login;
    if (command != pending_.end()) pending_.erase(command);
    if (login && ok && !lost_) Succeeded();
    // RFC 5530: the others say nothing of the password.
    static constexpr std::array<std::string_view, 8> kNoGuess = {
        "UNAVAILABLE", "PRIVACYREQUIRED", "CONTACTADMIN", "SERVERBUG",
        "LIMIT",       "INUSE",           "EXPIRED",      "REFERRAL"};
    if (!no) return;
    if (login ? !IsOneOf(code, kNoGuess) : EqualsIgnoringCase(code, "AUTHENTICATIONFAILED")) {
      Failed();
    }
  }

  struct Command {
    std::string tag;
    bool login;
  };
  std::vector<Command> pending_;
  bool lost_ = false;  // not all of them are there
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
    kList,    // POP3: a good answer has lines, and a dot ends them
    kLiteral  // ManageSieve: nothing but a literal, which may answer a challenge
  };
  void Await(Command command) {
    if (pending_.size() == kMaxPending) {
      Lose();
    } else {
      pending_.push_back(command);
    }
  }
  // What the server's next answer is about.
  Command first() const {
    if (!greeted_ || pending_.empty()) return Command::kOther;
    return answers_challenge_ ? Command::kLogin : pending_.front();
  }
  // Answered gives it, and turns to the next one.
  Command Answered() {
    const Command command = first();
    if (!std::exchange(greeted_, true)) return Command::kOther;
    const bool answers_challenge = std::exchange(answers_challenge_, false);
    if (pending_.empty()) {
      Lose();
      return command;
    }
    // A server that wants none may have taken for commands what is in it.
    if (pending_.front() == Command::kLiteral && !answers_challenge) Lose();
    pending_.erase(pending_.begin());
    return command;
  }
  // Challenged: the login goes on, and the client's next line belongs to it, whatever it looks
  // like (RFC 5034 section 4, RFC 5804 section 2.1).
  void Challenged() {
    Answered();
    answers_challenge_ = true;
  }
  // Lose: which answer is about what is not known any more.
  void Lose() { lost_ = true; }
  void LoggedIn() {
    if (!lost_) Succeeded();
  }

 private:
  std::vector<Command> pending_;
  bool answers_challenge_ = false;  // the first of them
  bool lost_ = false;
  bool greeted_;
};

class Pop3Watch final : public OrderedWatch {
 public:
  explicit Pop3Watch(bool greeted) : OrderedWatch(greeted) {}

 private:
  void ClientLine(std::string_view line) override {
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
    if (verdict == "+") {
      if (first() == Command::kLogin) Challenged();
      return;
    }
    const bool ok = EqualsIgnoringCase(verdict, "+OK");
    if (!ok && !EqualsIgnoringCase(verdict, "-ERR")) return;
    const Command command = Answered();
    listing_ = ok && command == Command::kList;
    if (ok && command == Command::kLogin) LoggedIn();
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

  bool listing_ = false;
};

class SieveWatch final : public OrderedWatch {
 public:
  explicit SieveWatch(bool greeted) : OrderedWatch(greeted) {}

 private:
  void ClientLine(std::string_view line) override {
    const std::string_view whole = line;
    const bool continues = std::exchange(client_continues_, false);
    const auto mark = FindLiteralMark(whole);
    const bool login = EqualsIgnoringCase(TakeWord(line), "AUTHENTICATE");
    if (mark) {
      // Elsewhere a server may refuse the literal, and take for commands what is in it.
      const bool expected = whole.starts_with('{') ? !continues : login && SpacesIn(whole) <= 2;
      if (!expected || mark->synchronising || mark->size > kMaxLoginLiteral) Lose();
      client_.Skip(mark->size);
      client_continues_ = true;
    }
    if (std::ranges::count(whole, '"') % 2 != 0) Lose();  // the string may go on
    if (continues) return;
    Await(login ? Command::kLogin : whole.starts_with('{') ? Command::kLiteral : Command::kOther);
  }
  static ptrdiff_t SpacesIn(std::string_view line) { return std::ranges::count(line, ' '); }

  void ServerLine(std::string_view line) override {
    const auto mark = FindLiteralMark(line);
    const bool continues = std::exchange(server_continues_, mark.has_value());
    if (mark) server_.Skip(mark->size);
    if (continues) return;
    // A capability, or a challenge.
    if (line.starts_with('"') || line.starts_with('{')) {
      if (first() == Command::kLogin) Challenged();
      return;
    }
    const std::string_view verdict = TakeWord(line);
    const bool ok = EqualsIgnoringCase(verdict, "OK");
    if (!ok && !EqualsIgnoringCase(verdict, "NO")) return;
    if (Answered() != Command::kLogin) return;
    if (ok) LoggedIn();
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
