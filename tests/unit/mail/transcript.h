// Transcripts of dialogs, and their replay cut in every way.
//
//   S: what the server says, a line
//   C: what the client says, a line, with CR LF behind it
//   c: the same without CR LF; \r \n \0 \\ and \xHH stand for octets (in C: too)
//   K: the back end's EHLO keywords, separated by commas, for the EHLO above; "K: -": unknown
//   = how it ends: "more", "starttls", "close WHY" or "plain OCTETS" (that go to the back end)
//
// A line that begins with "#" and an empty line say nothing. The S lines before the first C line
// are the greeting.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/mail/client_dialog.h"

namespace postern::mail {

struct Turn {
  std::string client;
  std::string server;
};

struct Transcript {
  std::string greeting;
  std::vector<Turn> turns;
  std::vector<std::optional<EhloKeywords>> keywords;  // an entry for each EHLO
  std::string end;

  std::string Said() const;     // all that the client says
  std::string Answers() const;  // all that it hears after the greeting
};

Transcript ReadTranscript(std::string_view text);
std::string Unescape(std::string_view text);

// Player feeds a dialog as a session does: what was not consumed is offered again.
class Player {
 public:
  Player(const DialogRules& rules, const std::vector<std::optional<EhloKeywords>>* keywords);

  void Feed(std::string_view octets);
  bool over() const { return over_; }
  const std::string& reply() const { return reply_; }
  const std::string& left() const { return wire_; }  // not consumed
  const ClientDialog::Step& last() const { return last_; }
  ClientDialog& dialog() { return *dialog_; }
  std::string End() const;  // as a transcript writes it

 private:
  std::unique_ptr<ClientDialog> dialog_;
  const std::vector<std::optional<EhloKeywords>>* keywords_;
  size_t ehlos_ = 0;
  std::string wire_;
  std::string reply_;
  ClientDialog::Step last_;
  bool over_ = false;
};

// Replay plays `text` turn by turn, whole, octet by octet and cut in two at every place; each has
// to give the same replies and the same end.
void Replay(const DialogRules& rules, std::string_view text);

}  // namespace postern::mail
