// The gate of SMTP (RFC 5321) and LMTP (RFC 2033). There need not be a login, and servers take
// XCLIENT between mails as well as before the first, so the gate stands as long as the connection.
// It has to know where a mail is: its lines are no commands, and go through untouched.
//
// It goes by what the server says: 354 is said to DATA alone. But only if it is the answer to the
// last thing that the client said do the client's next octets belong to a mail, so commands and
// answers are counted against each other. Where that cannot be trusted (a line that might be two, a
// client that does not wait for 354 as RFC 2920 section 3.1 asks, an end of the mail that not all
// servers take for one), the gate takes the safe side to the end of the connection: every line is
// looked at as if it were a command. A mail then still comes through as it is, unless a line of it
// begins with a verb in question (or RCPT, with the parameter in question); that is what an attempt
// to get a command past us looks like.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mail/ehlo_keywords.h"
#include "mail/gates.h"
#include "mail/verb_filter.h"
#include "mail/words.h"
#include "postern/base/limits.h"
#include "postern/mail/login_watch.h"

namespace postern::mail {
namespace {

constexpr std::array<std::string_view, 4> kVerbs = {"STARTTLS", "X-ANONYMOUSTLS", "XCLIENT",
                                                    "XFORWARD"};
// Dovecot's LMTP hands on what it says to its lookups of the user, as what a proxy found out.
constexpr std::array<std::string_view, 1> kRcptParameters = {"XRCPTFORWARD"};

// What servers read as one line at least (Postfix's line_length_limit); of a longer one they may
// make two.
constexpr size_t kMaxCommand = 2048;
// Commands without an answer yet: more than anybody sends ahead.
constexpr size_t kMaxUnanswered = 4096;

// What an answer will be about.
enum class Asked : uint8_t {
  kOther,
  kReset,  // MAIL too: no recipients
  kRecipient,
  kData,
  kMail,  // the end of a mail
};

class SmtpGate final : public Gate {
 public:
  explicit SmtpGate(const GateRules& rules)
      : lmtp_(rules.protocol == DialogProtocol::kLmtp),
        watch_(WatchLogins(rules.protocol, rules.greeted)),
        greeted_(rules.greeted),
        chunking_(rules.chunking) {}

  size_t TakeClient(MutableBytes octets, std::string& before) override;
  unsigned TakeServer(Bytes octets, std::string& to_client) override;
  std::string LastOfClient() override { return filter_.LetGo(); }
  std::string LastOfServer() override {
    return std::exchange(kept_, {}).append(std::exchange(held_, {}));
  }
  bool over() const override { return watch_ != nullptr && watch_->over(); }
  bool preauth() const override { return false; }

 private:
  enum class In : uint8_t { kCommands, kMail, kChunk };

  // The client
  size_t TakeMail(std::string_view octets);
  bool LookForDot(std::string_view octets, size_t& at);
  void TakeLine(std::string_view piece);
  void Command(std::string_view line);
  void Chunk(std::string_view argument);
  void Ask(Asked asked);
  void Distrust() {
    trusted_ = false;
    unanswered_.clear();
  }

  // The server
  void TakePiece(std::string_view piece, std::string& to_client);
  void TakeReplyLine(std::string& to_client);
  void Answered(std::string_view code);

  const bool lmtp_;
  const std::unique_ptr<LoginWatch> watch_;  // null in LMTP
  VerbFilter filter_{VerbFilter::Place::kFirst, kVerbs, {"RCPT", kRcptParameters}};

  In in_ = In::kCommands;
  bool trusted_ = true;  // commands and answers are known to belong together
  std::string line_;     // of the client's, as far as it is there
  std::vector<Asked> unanswered_;
  uint64_t chunk_left_ = 0;

  // In a mail: the dot that ends it.
  enum class Dot : uint8_t { kNone, kDot, kDotCr } dot_ = Dot::kNone;
  bool dot_counts_ = false;           // CR LF stands in front of it
  char last_ = '\n', second_ = '\r';  // the mail's last two octets: it begins as a line does

  bool greeted_;
  bool chunking_;            // offered
  unsigned recipients_ = 0;  // of the mail that is being said
  unsigned mail_answers_ = 0;
  std::string head_;  // of the server's line: code and what follows it
  std::string held_;  // of that line, when it may be edited
  std::string kept_;  // the line before, which may turn out to be the reply's last
  bool editable_ = true;
  bool in_reply_ = false;  // it goes on with the next line
};

// --- The client ---

size_t SmtpGate::TakeClient(MutableBytes octets, std::string& before) {
  size_t passed = 0;
  while (passed < octets.size()) {
    const MutableBytes rest = octets.subspan(passed);
    switch (in_) {
      case In::kChunk: {
        const auto part = static_cast<size_t>(std::min<uint64_t>(chunk_left_, rest.size()));
        chunk_left_ -= part;
        passed += part;
        if (chunk_left_ == 0) in_ = In::kCommands;
        break;
      }
      case In::kMail:
        passed += TakeMail(AsText(rest));
        break;
      case In::kCommands: {
        const size_t end = AsText(rest).find('\n');
        const MutableBytes piece = end == std::string_view::npos ? rest : rest.first(end + 1);
        const size_t may_go = filter_.Take(piece, before);
        passed += may_go;
        if (trusted_) TakeLine(AsText(piece));
        if (may_go < piece.size()) return passed;
        break;
      }
    }
  }
  return passed;
}

// TakeMail gives how many octets belong to the mail.
size_t SmtpGate::TakeMail(std::string_view octets) {
  size_t at = 0;
  while (at < octets.size() && in_ == In::kMail) {
    if (dot_ == Dot::kNone && !LookForDot(octets, at)) break;
    if (at == octets.size()) break;
    const char octet = octets[at];
    const bool was_dot = dot_ == Dot::kDot;
    if (was_dot && octet != '\r' && octet != '\n') {
      dot_ = Dot::kNone;
      last_ = '.';
      continue;
    }
    if (was_dot && octet == '\r') {
      dot_ = Dot::kDotCr;
      ++at;
      continue;
    }
    // The end of a line with nothing but a dot.
    in_ = In::kCommands;
    filter_.BeginLine();
    const bool ended = !was_dot && octet == '\n' && dot_counts_;
    if (octet == '\n') ++at;
    if (ended) {
      Ask(Asked::kMail);
    } else {
      Distrust();  // RFC 5321 section 2.3.8; there are servers that take it for the end
    }
  }
  return at;
}

// LookForDot moves `at` behind the next dot that begins a line. False: there is none.
bool SmtpGate::LookForDot(std::string_view octets, size_t& at) {
  const auto octet_before = [&](size_t position, size_t distance) {
    if (position >= distance) return octets[position - distance];
    return distance - position == 1 ? last_ : second_;
  };
  size_t dot = octets.find('.', at);
  for (; dot != std::string_view::npos; dot = octets.find('.', dot + 1)) {
    const char before = octet_before(dot, 1);
    if (before != '\n' && before != '\r') continue;
    dot_counts_ = before == '\n' && octet_before(dot, 2) == '\r';
    dot_ = Dot::kDot;
    at = dot + 1;
    return true;
  }
  const char last = octet_before(octets.size(), 1);
  second_ = octet_before(octets.size(), 2);
  last_ = last;
  at = octets.size();
  return false;
}

void SmtpGate::TakeLine(std::string_view piece) {
  if (piece.size() > kMaxCommand - line_.size()) {
    Distrust();
    line_.clear();
    return;
  }
  line_ += piece;
  if (!line_.ends_with('\n')) return;
  std::string_view line = line_;
  const bool ended = line.ends_with("\r\n");
  line.remove_suffix(ended ? 2 : 1);
  // What one server makes of such a line another does not.
  if (!ended || line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) {
    Distrust();
  } else {
    Command(line);
  }
  line_.clear();
}

void SmtpGate::Command(std::string_view line) {
  std::string_view argument = line;
  const std::string_view verb = TakeWord(argument);
  struct Row {
    std::string_view name;
    Asked asked;
  };
  constexpr std::array<Row, 7> kRows = {{{"DATA", Asked::kData},
                                         {"EHLO", Asked::kReset},
                                         {"HELO", Asked::kReset},
                                         {"LHLO", Asked::kReset},
                                         {"MAIL", Asked::kReset},
                                         {"RCPT", Asked::kRecipient},
                                         {"RSET", Asked::kReset}}};
  if (EqualsIgnoringCase(verb, "BDAT")) {
    Chunk(argument);
  } else if (verb.empty() || verb.find('\t') != std::string_view::npos ||
             EqualsIgnoringCase(verb, "AUTH")) {
    // An empty line has an answer or has none. What follows AUTH may be no commands.
    Distrust();
  } else {
    const Row* row = FindByName(std::span<const Row>(kRows), verb);
    Ask(row == nullptr ? Asked::kOther : row->asked);
  }
}

// RFC 3030 section 2. A server that offers it takes the octets whatever it answers.
void SmtpGate::Chunk(std::string_view argument) {
  const std::string_view size = TakeWord(argument);
  const auto read = std::from_chars(size.data(), size.data() + size.size(), chunk_left_);
  const bool last = EqualsIgnoringCase(argument, "LAST");
  if (!chunking_ || size.empty() || read.ec != std::errc() ||
      read.ptr != size.data() + size.size() || size.size() > 18 || (!argument.empty() && !last)) {
    Distrust();
    return;
  }
  Ask(last ? Asked::kMail : Asked::kOther);
  if (trusted_ && chunk_left_ > 0) in_ = In::kChunk;
}

void SmtpGate::Ask(Asked asked) {
  if (!trusted_) return;
  if (unanswered_.size() == kMaxUnanswered) {
    Distrust();
    return;
  }
  unanswered_.push_back(asked);
}

// --- The server ---

unsigned SmtpGate::TakeServer(Bytes octets, std::string& to_client) {
  unsigned failed = 0;
  std::string_view rest = AsText(octets);
  while (!rest.empty() && !over()) {
    const size_t end = rest.find('\n');
    const std::string_view piece = end == std::string_view::npos ? rest : rest.substr(0, end + 1);
    rest.remove_prefix(piece.size());
    TakePiece(piece, to_client);
    if (watch_ != nullptr) failed += watch_->TakeServer(AsBytes(piece));
  }
  to_client += rest;
  return failed;
}

// Edited are the lines of replies that look like EHLO's. All others go on as they come.
void SmtpGate::TakePiece(std::string_view piece, std::string& to_client) {
  constexpr size_t kHead = 4;
  head_ += piece.substr(0, kHead - head_.size());
  held_ += piece;
  const bool may_be_ehlo = in_reply_ ? std::string_view("250").starts_with(head_.substr(0, 3))
                                     : std::string_view("250-").starts_with(head_);
  editable_ = editable_ && may_be_ehlo && held_.size() <= limits::kMaxDialogLine;
  if (!editable_) {
    to_client.append(kept_).append(held_);
    kept_.clear();
    held_.clear();
  }
  if (!piece.ends_with('\n')) return;
  TakeReplyLine(to_client);
  head_.clear();
  editable_ = true;
}

void SmtpGate::TakeReplyLine(std::string& to_client) {
  const bool more = head_.size() > 3 && head_[3] == '-';
  if (editable_) {
    std::string_view keyword = held_;
    keyword.remove_prefix(std::min<size_t>(keyword.size(), 4));
    while (keyword.ends_with('\n') || keyword.ends_with('\r')) keyword.remove_suffix(1);
    if (!in_reply_) {
      kept_ = held_;  // the server's name
    } else if (!IsNeverOffered(keyword)) {
      to_client += kept_;
      kept_ = held_;
      chunking_ = chunking_ || EqualsIgnoringCase(keyword, "CHUNKING");
    }
    if (!more) {
      if (kept_.size() > 4 && kept_[3] == '-') kept_[3] = ' ';
      to_client += kept_;
      kept_.clear();
    }
    held_.clear();
  }
  const bool reply = head_.size() >= 3 && std::ranges::all_of(head_.substr(0, 3), [](char octet) {
                       return octet >= '0' && octet <= '9';
                     });
  if (!reply) Distrust();
  in_reply_ = more;
  if (!more) Answered(std::string_view(head_).substr(0, 3));
}

void SmtpGate::Answered(std::string_view code) {
  if (!std::exchange(greeted_, true) || !trusted_) return;
  if (unanswered_.empty()) {
    Distrust();  // it speaks unasked
    return;
  }
  const Asked asked = unanswered_.front();
  const bool good = code.starts_with('2');
  if (asked == Asked::kMail && lmtp_ && ++mail_answers_ < recipients_) return;  // one for each
  unanswered_.erase(unanswered_.begin());
  if (code == "354") {
    if (asked == Asked::kData && unanswered_.empty() && line_.empty() && !filter_.holds()) {
      in_ = In::kMail;
      dot_ = Dot::kNone;
      second_ = '\r';
      last_ = '\n';
    } else {
      Distrust();
    }
    return;
  }
  switch (asked) {
    case Asked::kRecipient:
      if (good) ++recipients_;
      break;
    case Asked::kReset:
      if (good) recipients_ = 0;
      break;
    case Asked::kMail:
      recipients_ = mail_answers_ = 0;
      break;
    case Asked::kData:
    case Asked::kOther:
      break;
  }
}

}  // namespace

std::unique_ptr<Gate> MakeSmtpGate(const GateRules& rules) {
  return std::make_unique<SmtpGate>(rules);
}

}  // namespace postern::mail
