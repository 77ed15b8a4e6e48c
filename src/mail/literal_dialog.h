// LiteralDialog: a client dialog whose commands may run over several lines, with literals between.
#pragma once

#include <string>
#include <string_view>

#include "mail/literal_string.h"
#include "mail/text_dialog.h"

namespace postern::mail {

class LiteralDialog : public TextDialog {
 protected:
  explicit LiteralDialog(const DialogRules& rules) : TextDialog(rules, LineEnds::kAnyLf) {}

  // Begin looks at a command's first line. kAnswered lets it go on; everything else is the verdict
  // on the line, which then ends there, literals or not.
  virtual Verdict Begin(std::string_view line, std::string& reply) = 0;
  // Whether the client may send a literal that it asks leave for; then AskFor has said so.
  virtual bool AskFor(std::string& reply) = 0;
  // CarryOut gets the whole command: its lines joined by CR LF, the octets of each literal behind
  // the line that announced it. A literal that was not let in is announced at its end, and missing.
  virtual Verdict CarryOut(std::string_view command, std::string& reply) = 0;

 private:
  Verdict TakeLine(std::string_view line, std::string& reply) final;
  void TakeLiteral(std::string_view octets) final { command_ += octets; }
  Verdict Finish(std::string_view command, std::string& reply);

  std::string command_;     // what is there of a command with a literal
  bool continued_ = false;  // the next line belongs to it
};

}  // namespace postern::mail
