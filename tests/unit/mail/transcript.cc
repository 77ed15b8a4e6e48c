#include "tests/unit/mail/transcript.h"

#include <cstdlib>

#include "postern/base/limits.h"
#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

std::optional<EhloKeywords> ReadKeywords(std::string_view text) {
  if (text == "-") return std::nullopt;
  EhloKeywords keywords;
  while (!text.empty()) {
    const size_t end = text.find(',');
    keywords.push_back(Unescape(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return keywords;
}

void PlayInTurns(const DialogRules& rules, const Transcript& script) {
  Player player(rules, &script.keywords);
  std::string greeting;
  player.dialog().Greet(greeting);
  CHECK(greeting == script.greeting);
  std::string answers;
  for (const Turn& turn : script.turns) {
    INFO("client: " << turn.client);
    REQUIRE_FALSE(player.over());
    player.Feed(turn.client);
    answers += turn.server;
    REQUIRE(player.reply() == answers);
  }
  CHECK(player.End() == script.end);
}

void PlayIn(const DialogRules& rules, const Transcript& script, const std::vector<size_t>& cuts) {
  const std::string said = script.Said();
  Player player(rules, &script.keywords);
  size_t from = 0;
  for (const size_t cut : cuts) {
    if (!player.over()) player.Feed(std::string_view(said).substr(from, cut - from));
    from = cut;
  }
  if (!player.over()) player.Feed(std::string_view(said).substr(from));
  REQUIRE(player.reply() == script.Answers());
  // What a dialog hands over may still be on its way.
  if (player.last().next == ClientDialog::Next::kPlain) {
    REQUIRE(script.end.starts_with("plain "));
  } else {
    REQUIRE(player.End() == script.end);
  }
}

}  // namespace

std::string Transcript::Said() const {
  std::string all;
  for (const Turn& turn : turns) all += turn.client;
  return all;
}

std::string Transcript::Answers() const {
  std::string all;
  for (const Turn& turn : turns) all += turn.server;
  return all;
}

std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'r':
        out += '\r';
        break;
      case 'n':
        out += '\n';
        break;
      case '0':
        out += '\0';
        break;
      case 'x':
        out += static_cast<char>(
            std::strtoul(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
        i += 2;
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

Transcript ReadTranscript(std::string_view text) {
  Transcript script;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
    if (line.empty() || line.starts_with('#')) continue;
    const std::string_view start = line.substr(0, 2);
    const std::string_view rest = line.size() > 3 ? line.substr(3) : std::string_view();
    if (start == "S:") {
      std::string& to = script.turns.empty() ? script.greeting : script.turns.back().server;
      to.append(Unescape(rest)).append("\r\n");
    } else if (start == "C:") {
      script.turns.push_back({Unescape(rest) + "\r\n", ""});
    } else if (start == "c:") {
      script.turns.push_back({Unescape(rest), ""});
    } else if (start == "K:") {
      script.keywords.push_back(ReadKeywords(rest));
    } else if (start == "= ") {
      script.end = Unescape(line.substr(2));
    } else {
      FAIL("not a line of a transcript: " << line);
    }
  }
  return script;
}

Player::Player(const DialogRules& rules, const std::vector<std::optional<EhloKeywords>>* keywords)
    : dialog_(MakeClientDialog(rules)), keywords_(keywords) {}

void Player::Feed(std::string_view octets) {
  wire_ += octets;
  while (!over_) {
    // A copy of exactly the size, so that a sanitizer sees a look beyond its end.
    const std::vector<char> exact(wire_.begin(), wire_.end());
    last_ = dialog_->Take(AsBytes({exact.data(), exact.size()}), reply_);
    REQUIRE(last_.consumed <= wire_.size());
    wire_.erase(0, last_.consumed);
    switch (last_.next) {
      case ClientDialog::Next::kMore:
        REQUIRE(wire_.size() < limits::kMaxDialogLine);
        return;
      case ClientDialog::Next::kKeywords: {
        const bool known = keywords_ != nullptr && ehlos_ < keywords_->size();
        const auto keywords = known ? (*keywords_)[ehlos_] : std::nullopt;
        ++ehlos_;
        dialog_->AnswerEhlo(keywords ? &*keywords : nullptr, reply_);
        break;
      }
      case ClientDialog::Next::kStartTls:
      case ClientDialog::Next::kClose:
        REQUIRE(wire_.empty());
        over_ = true;
        break;
      case ClientDialog::Next::kPlain:
        over_ = true;
        break;
    }
  }
}

std::string Player::End() const {
  switch (last_.next) {
    case ClientDialog::Next::kMore:
    case ClientDialog::Next::kKeywords:
      return "more";
    case ClientDialog::Next::kStartTls:
      return "starttls";
    case ClientDialog::Next::kPlain:
      return "plain " + wire_;
    case ClientDialog::Next::kClose:
      return "close " + std::string(ToString(last_.end));
  }
  return {};
}

void Replay(const DialogRules& rules, std::string_view text) {
  const Transcript script = ReadTranscript(text);
  INFO("transcript: " << text);
  PlayInTurns(rules, script);
  const size_t size = script.Said().size();
  {
    INFO("whole");
    PlayIn(rules, script, {});
  }
  {
    INFO("octet by octet");
    std::vector<size_t> cuts;
    for (size_t i = 1; i < size; ++i) cuts.push_back(i);
    PlayIn(rules, script, cuts);
  }
  for (size_t cut = 1; cut < size; ++cut) {
    INFO("cut at " << cut);
    PlayIn(rules, script, {cut});
  }
}

}  // namespace postern::mail
