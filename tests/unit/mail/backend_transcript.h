// Transcripts of dialogs with servers, and their replay cut in every way.
//
//   S: what the server says, a line, with CR LF behind it     s: the same without CR LF
//   C: what the client says, a line, with CR LF behind it     c: the same without CR LF
//   P: what Postern says to the server                        p: the same without CR LF
//   G: what Postern says to the client                        g: the same without CR LF
//   TLS: the handshake is over
//   = how it ends: "more", "starttls", "ready OCTETS" (not consumed) or "failed WHY: words"
//
// \r \n \0 \\ and \xHH stand for octets. A line that begins with "#" and an empty line say nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/mail/backend_dialog.h"

namespace postern::mail {

enum class Speaker : uint8_t { kServer, kClient, kTls };

// What one side says, and what Postern says then.
struct BackendTurn {
  Speaker speaker = Speaker::kServer;
  std::string says;
  std::string to_server;
  std::string to_client;
};

struct BackendTranscript {
  std::vector<BackendTurn> turns;
  std::string end;
};

BackendTranscript ReadBackendTranscript(std::string_view text);

// BackendPlayer feeds a dialog as a session does: what was not consumed is offered again.
class BackendPlayer {
 public:
  explicit BackendPlayer(const BackendRules& rules) : dialog_(MakeBackendDialog(rules)) {}

  void Feed(Speaker speaker, std::string_view octets);
  bool over() const {
    return last_.next == BackendDialog::Next::kReady || last_.next == BackendDialog::Next::kFailed;
  }
  const std::string& to_server() const { return to_server_; }
  const std::string& to_client() const { return to_client_; }
  const BackendDialog::Step& last() const { return last_; }
  BackendDialog& dialog() { return *dialog_; }
  // As a transcript writes it; `behind` was said behind the end.
  std::string End(std::string_view behind = {}) const;

 private:
  void Take(Speaker speaker);

  std::unique_ptr<BackendDialog> dialog_;
  std::string from_server_;  // not consumed
  std::string from_client_;
  std::string to_server_;
  std::string to_client_;
  BackendDialog::Step last_;
};

// Replay plays `text` with each turn whole, octet by octet and cut in two at every place; each has
// to give the same words to both sides, turn by turn, and the same end.
void Replay(const BackendRules& rules, std::string_view text);

}  // namespace postern::mail
