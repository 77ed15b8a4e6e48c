#include "tests/unit/mail/backend_transcript.h"

#include <cstdlib>

#include "tests/unit/catch.h"
#include "tests/unit/mail/transcript.h"

namespace postern::mail {
namespace {

std::string_view ToString(BackendFailure failure) {
  switch (failure) {
    case BackendFailure::kNone:
      return "none";
    case BackendFailure::kRefused:
      return "refused";
    case BackendFailure::kPreauth:
      return "preauth";
    case BackendFailure::kNoStartTls:
      return "no-starttls";
    case BackendFailure::kInjection:
      return "injection";
    case BackendFailure::kNotIdentified:
      return "not-identified";
    case BackendFailure::kProtocol:
      return "protocol";
    case BackendFailure::kClientRefused:
      return "client-refused";
  }
  return {};
}

// CutInto gives the pieces of a turn's octets.
using CutInto = std::vector<std::string_view> (*)(std::string_view octets, size_t place);

std::vector<std::string_view> Whole(std::string_view octets, size_t) { return {octets}; }
std::vector<std::string_view> InTwo(std::string_view octets, size_t place) {
  return {octets.substr(0, place), octets.substr(place)};
}
std::vector<std::string_view> Each(std::string_view octets, size_t) {
  if (octets.empty()) return {octets};
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < octets.size(); ++i) pieces.push_back(octets.substr(i, 1));
  return pieces;
}

// Play cuts turn number `turn` (all of them: npos).
void Play(const BackendRules& rules, const BackendTranscript& script, size_t turn, CutInto cut,
          size_t place) {
  BackendPlayer player(rules);
  std::string to_server;
  std::string to_client;
  for (size_t i = 0; i < script.turns.size(); ++i) {
    const BackendTurn& now = script.turns[i];
    const bool cuts = turn == i || turn == std::string::npos;
    const auto pieces = cuts ? cut(now.says, place) : Whole(now.says, 0);
    INFO("turn " << i << ", cut at " << place << ": " << now.says);
    REQUIRE_FALSE(player.over());
    std::string rest;
    for (const std::string_view piece : pieces) {
      // Behind the end octets flow untouched.
      if (!player.over()) {
        player.Feed(now.speaker, piece);
      } else {
        rest += piece;
      }
    }
    to_server += now.to_server;
    to_client += now.to_client;
    REQUIRE(player.to_server() == to_server);
    REQUIRE(player.to_client() == to_client);
    if (i + 1 < script.turns.size()) continue;
    REQUIRE(player.End(rest) == script.end);
  }
}

}  // namespace

BackendTranscript ReadBackendTranscript(std::string_view text) {
  BackendTranscript script;
  bool answered = true;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("= ")) {
      script.end = Unescape(line.substr(2));
      continue;
    }
    if (line == "TLS:") {
      script.turns.push_back({Speaker::kTls, "", "", ""});
      answered = true;
      continue;
    }
    const bool whole_line = line[0] >= 'A' && line[0] <= 'Z';
    const std::string octets = Unescape(line.size() > 3 ? line.substr(3) : std::string_view()) +
                               (whole_line ? "\r\n" : "");
    const std::string_view start = line.substr(0, 2);
    if (start == "P:" || start == "p:") {
      script.turns.back().to_server += octets;
      answered = true;
    } else if (start == "G:" || start == "g:") {
      script.turns.back().to_client += octets;
      answered = true;
    } else if (start == "S:" || start == "s:" || start == "C:" || start == "c:") {
      const Speaker speaker =
          line[0] == 'S' || line[0] == 's' ? Speaker::kServer : Speaker::kClient;
      if (answered || script.turns.back().speaker != speaker) {
        script.turns.push_back({speaker, "", "", ""});
      }
      script.turns.back().says += octets;
      answered = false;
    } else {
      FAIL("not a line of a transcript: " << line);
    }
  }
  return script;
}

void BackendPlayer::Feed(Speaker speaker, std::string_view octets) {
  if (speaker == Speaker::kTls) {
    REQUIRE(last_.next == BackendDialog::Next::kStartTls);
    REQUIRE(from_server_.empty());
    last_ = dialog_->Secured(to_server_, to_client_);
    return;
  }
  REQUIRE(last_.next == BackendDialog::Next::kMore);
  (speaker == Speaker::kServer ? from_server_ : from_client_) += octets;
  Take(speaker);
}

void BackendPlayer::Take(Speaker speaker) {
  if (speaker == Speaker::kClient && !dialog_->wants_client()) return;
  std::string& wire = speaker == Speaker::kServer ? from_server_ : from_client_;
  // A copy of exactly the size, so that a sanitizer sees a look beyond its end.
  const std::vector<char> exact(wire.begin(), wire.end());
  const Bytes octets = AsBytes({exact.data(), exact.size()});
  last_ = speaker == Speaker::kServer ? dialog_->TakeServer(octets, to_server_, to_client_)
                                      : dialog_->TakeClient(octets, to_server_, to_client_);
  REQUIRE(last_.consumed <= wire.size());
  wire.erase(0, last_.consumed);
  REQUIRE((last_.failure == BackendFailure::kNone) == (last_.next != BackendDialog::Next::kFailed));
  if (last_.next == BackendDialog::Next::kStartTls) REQUIRE(wire.empty());
  // What the client said meanwhile is wanted now.
  if (speaker == Speaker::kServer && last_.next == BackendDialog::Next::kMore &&
      dialog_->wants_client() && !from_client_.empty()) {
    Take(Speaker::kClient);
  }
}

std::string BackendPlayer::End(std::string_view behind) const {
  switch (last_.next) {
    case BackendDialog::Next::kMore:
      return "more";
    case BackendDialog::Next::kStartTls:
      return "starttls";
    case BackendDialog::Next::kReady: {
      const std::string left = (from_server_ + from_client_).append(behind);
      return left.empty() ? "ready" : "ready " + left;
    }
    case BackendDialog::Next::kFailed:
      return "failed " + std::string(ToString(last_.failure)) + ": " + dialog_->failure_detail();
  }
  return {};
}

void Replay(const BackendRules& rules, std::string_view text) {
  const BackendTranscript script = ReadBackendTranscript(text);
  INFO("transcript: " << text);
  Play(rules, script, std::string::npos, Whole, 0);
  Play(rules, script, std::string::npos, Each, 0);
  for (size_t turn = 0; turn < script.turns.size(); ++turn) {
    for (size_t place = 1; place < script.turns[turn].says.size(); ++place) {
      Play(rules, script, turn, InTwo, place);
    }
  }
}

}  // namespace postern::mail
