// TextDialog: what the client dialogs of all protocols have in common: lines, bounds, what may not
// stand behind STARTTLS. A protocol says what a line means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mail/line_reader.h"
#include "postern/mail/client_dialog.h"

namespace postern::mail {

class TextDialog : public ClientDialog {
 public:
  Step Take(Bytes wire, std::string& reply) final;

  // For protocols without EHLO.
  void AnswerEhlo(const EhloKeywords* keywords, std::string& reply) override;
  std::string_view hello() const override { return {}; }
  bool extended_hello() const override { return false; }

 protected:
  TextDialog(const DialogRules& rules, LineEnds ends) : rules_(rules), reader_(ends) {}

  // What a line led to. Whoever returns kAnswered or kRefused has appended the reply; those that
  // end the dialog are answered by SayStartTls and SayGoodbye, so that they are said in one place.
  enum class Verdict : uint8_t {
    kMore,      // the next line is awaited; nothing was asked
    kAnswered,  // done as asked
    kRefused,   // counts against limits::kMaxDialogErrors
    kLiteral,   // the command goes on with the octets that ExpectLiteral named, then a line
    kKeywords,
    kStartTls,
    kPlain,  // this line, from its start, is the back end's
    kQuit,   // answered, and the connection ends
    kForeign,
    kTooLong,
    kTooManyCommands,
  };

  // TakeLine carries out one line, given without its end.
  virtual Verdict TakeLine(std::string_view line, std::string& reply) = 0;
  // TakeLiteral gets the octets of a literal, in as many parts as they come in.
  virtual void TakeLiteral(std::string_view octets);
  // RefuseLine answers a line that is none.
  virtual void RefuseLine(LineFault fault, std::string& reply) = 0;
  // SayStartTls: nothing stands behind the command, and the handshake may begin.
  virtual void SayStartTls(std::string& reply) = 0;
  // SayGoodbye: the connection ends, for any reason but kQuit.
  virtual void SayGoodbye(DialogEnd end, std::string& reply) = 0;

  void ExpectLiteral(size_t octets) { literal_left_ = octets; }
  void HasKeywords() { awaits_keywords_ = false; }
  const DialogRules& rules() const { return rules_; }

 private:
  Verdict TakeNext(std::string_view& rest, std::string& reply);
  bool SkipLiteral(std::string_view& rest);
  bool IsHttp(std::string_view line) const;

  const DialogRules rules_;
  LineReader reader_;
  size_t literal_left_ = 0;
  unsigned lines_ = 0;
  unsigned errors_ = 0;
  bool began_ = false;  // something was consumed
  bool awaits_keywords_ = false;
};

// Describe says why in words that fit any protocol: no quotes, no brackets, ASCII.
std::string_view Describe(DialogEnd end);
std::string_view Describe(LineFault fault);

// The dialogs (MakeClientDialog chooses).
std::unique_ptr<ClientDialog> MakeSmtpClientDialog(const DialogRules& rules);  // and LMTP
std::unique_ptr<ClientDialog> MakeImapClientDialog(const DialogRules& rules);
std::unique_ptr<ClientDialog> MakePop3ClientDialog(const DialogRules& rules);
std::unique_ptr<ClientDialog> MakeSieveClientDialog(const DialogRules& rules);

}  // namespace postern::mail
