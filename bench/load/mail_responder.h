// MailResponder: just enough of a mail server to be measured against; a pure function of lines. It
// lets everybody in and keeps nothing.
#pragma once

#include <string>
#include <string_view>

#include "bench/load/options.h"

namespace postern::bench {

class MailResponder {
 public:
  explicit MailResponder(Service service) : service_(service) {}

  // What is said before the client says anything; empty for HTTP.
  std::string_view Greeting() const;

  struct Answer {
    std::string text;
    bool ends = false;  // the server ends the connection afterwards
  };
  // Take answers one line (without its end).
  Answer Take(std::string_view line);

 private:
  Answer TakeImap(std::string_view line);
  Answer TakePop3(std::string_view line);
  Answer TakeSmtp(std::string_view line);

  Service service_;
  std::string idle_tag_;  // IMAP: of the IDLE that is going on
  bool data_ = false;     // SMTP: within a message
};

}  // namespace postern::bench
