// The command line of postern-bench: what to measure, of whom, for how long.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "postern/base/result.h"

namespace postern::bench {

enum class ModeKind : uint8_t { kHandshake, kIdle, kBulk, kEcho, kMix, kChurn };
enum class TlsChoice : uint8_t { kAny, kPlain, k12, k13 };
enum class Direction : uint8_t { kUp, kDown, kBoth };
enum class Service : uint8_t { kRaw, kImap, kPop3, kSmtp, kHttp };
enum class Behaviour : uint8_t { kWire, kGreeting };

std::string_view NameOf(ModeKind mode);
std::string_view NameOf(TlsChoice tls);
std::string_view NameOf(Direction direction);
std::string_view NameOf(Service service);
// What a mode counts: "handshakes", "bytes", ...
std::string_view UnitsOf(ModeKind mode);

// A user name and its password.
struct Login {
  std::string name = "user";
  std::string password = "password";
};

struct LoadOptions {
  ModeKind mode = ModeKind::kHandshake;
  std::string host;  // of the target; without brackets
  uint16_t port = 0;
  uint32_t processes = 1;
  std::vector<int> cpus;     // empty: not pinned
  uint32_t connections = 0;  // over all processes
  double duration_s = 0;     // 0 with a count: until it is reached
  uint64_t count = 0;
  double warmup_s = 0;
  double rate = 0;  // units per second over all processes; 0: no limit
  double timeout_s = 30;
  TlsChoice tls = TlsChoice::kAny;
  std::string groups, sigalgs, ciphers, ciphersuites, sni, ca;
  std::optional<Service> starttls;
  std::string json, html;
  bool quiet = false;
  // One mode's own.
  bool resume = false;
  bool no_tickets = false;  // sessions by ID instead
  bool greeting = false;    // after STARTTLS: the answer to NOOP
  double hold_s = 10;
  Direction direction = Direction::kDown;
  uint64_t bytes = 256 << 20;
  uint32_t size = 64;
  Service service = Service::kRaw;
  Login login;
  double think_s = 1;
  std::string reload_command;
  double reload_every_s = 1;

  std::string TargetText() const;
};

struct ServerOptions {
  Behaviour behaviour = Behaviour::kWire;
  std::string host;
  uint16_t port = 0;
  Service service = Service::kImap;
  std::vector<int> cpus;
  uint32_t processes = 1;
};

using Command = std::variant<LoadOptions, ServerOptions>;

// ParseCommandLine prints help, version or what is wrong itself; the unexpected value is then the
// exit status.
std::expected<Command, int> ParseCommandLine(int argc, const char* const* argv);

// The parts of "127.0.0.1:993", "[::1]:993" or "mail.example.com:993".
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
std::optional<HostPort> ParseHostPort(std::string_view text);
// "0", "0,2", "0-3,6": CPU numbers in the order given. Nothing when it is not such a list.
std::optional<std::vector<int>> ParseCpuList(std::string_view text);

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

}  // namespace postern::bench
