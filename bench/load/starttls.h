// StartTls: the plain dialog before a handshake, from the client's side; a pure function of octets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/load/options.h"

namespace postern::bench {

class StartTls {
 public:
  explicit StartTls(Service service) : service_(service) {}

  struct Outcome {
    std::string send;      // to be sent now
    bool upgrade = false;  // the server's next octets are TLS
    bool refused = false;  // it will not come to TLS, and why
    std::string reason;
  };
  // Take takes what the server said, cut anywhere. Not to be called after an upgrade or a refusal.
  Outcome Take(std::string_view octets);

 private:
  enum class State : uint8_t { kGreeting, kCapabilities, kReply };

  // One line without its end; what follows from it.
  Outcome TakeLine(std::string_view line);
  Outcome TakeSmtp(std::string_view line);
  Outcome TakeImap(std::string_view line);
  Outcome TakePop3(std::string_view line);

  Service service_;
  State state_ = State::kGreeting;
  bool offered_ = false;  // STARTTLS is among SMTP's extensions
  std::string partial_;
};

}  // namespace postern::bench
