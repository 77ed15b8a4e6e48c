// MailScript: one mail session from the client's side, as a mail program has them; a pure function
// of octets. It wants every answer to be the right one.
//
//   imap  LOGIN, SELECT INBOX; some rounds of IDLE, each left after a while, every other one
//   followed
//         by a FETCH of the newest message; LOGOUT
//   pop3  USER, PASS, STAT, RETR of the newest message, QUIT
//   smtp  EHLO, AUTH PLAIN, MAIL, RCPT, DATA and a message of 2 KB, QUIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "bench/load/options.h"

namespace postern::bench {

class MailScript {
 public:
  static constexpr uint32_t kIdleRounds = 4;

  MailScript(Service service, Login login) : service_(service), login_(std::move(login)) {}

  struct Outcome {
    std::string send;    // to be sent now
    bool rest = false;   // the server is in IDLE: call Rested() after a while
    bool done = false;   // the session is over, and went as it should
    std::string failed;  // what was wrong; nothing follows
  };
  // Begin is for a server that greets no more, after STARTTLS: what the client then says first.
  std::string Begin();
  // Take takes what the server said, cut anywhere. Not to be called after `done` or `failed`.
  Outcome Take(std::string_view octets);
  // What ends an IDLE.
  std::string Rested();
  // Messages that were fetched, read or sent whole.
  uint32_t messages() const { return messages_; }

 private:
  enum class Step : uint8_t {
    kGreeting,
    kLogin,
    kPassword,
    kSelect,
    kIdle,
    kDone,
    kFetch,
    kMail,
    kRecipient,
    kData,
    kMessage,
    kQuit,
  };

  Outcome TakeLine(std::string_view line);
  Outcome TakeImap(std::string_view line);
  Outcome TakePop3(std::string_view line);
  Outcome TakeSmtp(std::string_view line);
  Outcome Command(Step step, std::string_view text);
  Outcome NextImap();
  Outcome Refused(std::string_view line) const;
  std::string Recipient() const;  // mail goes to the user who sends it

  Service service_;
  Login login_;
  Step step_ = Step::kGreeting;
  std::string partial_;
  std::string tag_;
  uint32_t number_ = 0;  // of tags
  uint32_t round_ = 0;   // IDLEs that are over
  uint32_t exists_ = 0;  // messages in the mailbox
  uint32_t messages_ = 0;
  size_t literal_ = 0;      // octets of an IMAP literal still to come
  bool multiline_ = false;  // within a POP3 message
};

}  // namespace postern::bench
