// The words for the options' enums, in results and on the command line.
#include <fmt/format.h>

#include "bench/load/options.h"

namespace postern::bench {

std::string_view NameOf(ModeKind mode) {
  switch (mode) {
    case ModeKind::kHandshake:
      return "handshake";
    case ModeKind::kIdle:
      return "idle";
    case ModeKind::kBulk:
      return "bulk";
    case ModeKind::kEcho:
      return "echo";
    case ModeKind::kMix:
      return "mix";
    case ModeKind::kChurn:
      return "churn";
  }
  return "";
}

std::string_view NameOf(TlsChoice tls) {
  switch (tls) {
    case TlsChoice::kAny:
      return "any";
    case TlsChoice::kPlain:
      return "plain";
    case TlsChoice::k12:
      return "1.2";
    case TlsChoice::k13:
      return "1.3";
  }
  return "";
}

std::string_view NameOf(Direction direction) {
  switch (direction) {
    case Direction::kUp:
      return "up";
    case Direction::kDown:
      return "down";
    case Direction::kBoth:
      return "both";
  }
  return "";
}

std::string_view NameOf(Service service) {
  switch (service) {
    case Service::kRaw:
      return "raw";
    case Service::kImap:
      return "imap";
    case Service::kPop3:
      return "pop3";
    case Service::kSmtp:
      return "smtp";
    case Service::kHttp:
      return "http";
  }
  return "";
}

std::string_view UnitsOf(ModeKind mode) {
  switch (mode) {
    case ModeKind::kHandshake:
      return "handshakes";
    case ModeKind::kMix:
      return "sessions";
    case ModeKind::kIdle:
    case ModeKind::kChurn:
      return "connections";
    case ModeKind::kBulk:
      return "bytes";
    case ModeKind::kEcho:
      return "round_trips";
  }
  return "";
}

std::string LoadOptions::TargetText() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace postern::bench
