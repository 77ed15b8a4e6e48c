// Each mode is a subcommand with the common options and its own, so that `postern-bench MODE
// --help` shows what that mode takes, and an option of another mode is an error instead of being
// ignored.
#include "bench/load/options.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <map>
#include <memory>

#include "bench/load/tls_client.h"

namespace postern::bench {
namespace {

constexpr const char* kDescription =
    "postern-bench measures TLS servers for mail from the client's side, and verifies what it "
    "measures";

constexpr const char* kFooter = R"(
Examples:
  postern-bench handshake --connections 32 --duration 10 --tls 1.3 127.0.0.1:993
  postern-bench handshake --resume --count 10000 --json result.json --html result.html [::1]:993
  postern-bench server wire --listen 127.0.0.1:9000      the back end of echo, bulk and idle
  postern-bench echo --size 64 --connections 64 127.0.0.1:9993
docs/benchmarks.md says what each figure means. Exit status: 0 done and everything verified, 1
something failed or was not what it should be (said on standard error), 2 the command line was not
understood.)";

constexpr uint32_t kMaxProcesses = 256;
constexpr uint32_t kMaxConnections = 4'000'000;
constexpr uint32_t kMaxMessage = 1 << 20;  // of an echo: it is kept whole, once per process
constexpr double kDay = 86'400;

const std::map<std::string, TlsChoice> kTlsNames = {{"any", TlsChoice::kAny},
                                                    {"1.2", TlsChoice::k12},
                                                    {"1.3", TlsChoice::k13},
                                                    {"plain", TlsChoice::kPlain}};
const std::map<std::string, Direction> kDirections = {
    {"up", Direction::kUp}, {"down", Direction::kDown}, {"both", Direction::kBoth}};
const std::map<std::string, Service> kMailServices = {
    {"imap", Service::kImap}, {"pop3", Service::kPop3}, {"smtp", Service::kSmtp}};
const std::map<std::string, Service> kServices = {{"raw", Service::kRaw},
                                                  {"imap", Service::kImap},
                                                  {"pop3", Service::kPop3},
                                                  {"smtp", Service::kSmtp}};
const std::map<std::string, Service> kGreeters = {{"imap", Service::kImap},
                                                  {"pop3", Service::kPop3},
                                                  {"smtp", Service::kSmtp},
                                                  {"http", Service::kHttp}};

// What is given as text and becomes something else once all is parsed.
struct Raw {
  std::string target, cpus, starttls, listen, service, password_file;
};

template <typename Value>
std::string Choices(const std::map<std::string, Value>& values) {
  std::string text;
  for (const auto& [name, value] : values) text += (text.empty() ? "" : "|") + name;
  return text;
}

template <typename Value>
CLI::Option* AddChoice(CLI::App& app, const std::string& name, Value& value,
                       const std::map<std::string, Value>& values, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name, [&value, &values](const std::string& text) { value = values.at(text); }, help)
      ->check(CLI::IsMember(values))
      ->type_name(Choices(values));
}

// Behind these must be the wire server, which speaks no service's dialog.
bool NeedsWire(ModeKind mode) { return mode == ModeKind::kEcho || mode == ModeKind::kBulk; }

void AddCommon(CLI::App& app, ModeKind mode, LoadOptions& options, Raw& raw) {
  app.add_option("target", raw.target, "Server to measure, HOST:PORT ([v6]:PORT)")
      ->required()
      ->type_name("HOST:PORT");
  app.add_option("--processes", options.processes, "Processes that make the load (1)")
      ->check(CLI::Range(1U, kMaxProcesses));
  app.add_option("--cpu", raw.cpus, "CPUs to pin them to, in turn (\"0,2\", \"1-3\")");
  app.add_option("--connections", options.connections,
                 "Connections at once, over all processes (32; idle 1000; echo, bulk 1)")
      ->check(CLI::Range(1U, kMaxConnections));
  app.add_option("--timeout", options.timeout_s,
                 "Seconds after which a connection without progress has failed (30)")
      ->check(CLI::Range(0.1, kDay));
  AddChoice(app, "--tls", options.tls, kTlsNames, "Version to insist on (any of 1.2 and 1.3)");
  app.add_option("--groups", options.groups, "Key exchange groups to offer (X25519:P-256)");
  app.add_option("--sigalgs", options.sigalgs, "Signature algorithms to offer");
  app.add_option("--ciphers", options.ciphers, "TLS 1.2 cipher suites to offer");
  app.add_option("--ciphersuites", options.ciphersuites, "TLS 1.3 cipher suites to offer");
  app.add_option("--sni", options.sni, "Server name to ask for (the target's, if it is a name)");
  app.add_option("--ca", options.ca,
                 "Verify the certificate against this PEM file (default: not verified)")
      ->check(CLI::ExistingFile);
  auto* starttls =
      app.add_option("--starttls", raw.starttls, "Upgrade with the service's STARTTLS first")
          ->check(CLI::IsMember(kMailServices))
          ->type_name(Choices(kMailServices));
  if (NeedsWire(mode)) starttls->group("");  // not in the help: Finish says why
  app.add_option("--json", options.json, "Write the result as JSON (\"-\": standard output)")
      ->type_name("FILE");
  app.add_option("--html", options.html, "Write a page with plots")->type_name("FILE");
  app.add_flag("--quiet", options.quiet, "No progress and no table");
}

void AddLength(CLI::App& app, LoadOptions& options, const char* counted) {
  app.add_option("--duration", options.duration_s, "Seconds to measure (10, unless --count)")
      ->check(CLI::Range(0.05, kDay));
  app.add_option("--warmup", options.warmup_s, "Seconds before counting begins (0)")
      ->check(CLI::Range(0.0, kDay));
  app.add_option("--count", options.count, fmt::format("Stop after this many {}", counted))
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 60));
}

void AddRate(CLI::App& app, LoadOptions& options, const char* what) {
  app.add_option("--rate", options.rate, fmt::format("At most this many {} per second", what))
      ->check(CLI::Range(0.01, 1e7));
}

void AddHandshake(CLI::App& app, LoadOptions& options) {
  AddLength(app, options, "handshakes");
  AddRate(app, options, "handshakes");
  app.add_flag("--resume", options.resume,
               "Resume sessions; a full handshake is then a failure. Each process gets its first "
               "sessions before measuring begins");
  app.add_flag("--no-tickets", options.no_tickets,
               "Offer to take no tickets: with --resume sessions go by ID (--tls 1.2)");
  app.add_flag("--greeting", options.greeting,
               "Read the server's first line before closing (after --starttls: its answer to NOOP, "
               "of POP3 to QUIT)");
}

void AddIdle(CLI::App& app, LoadOptions& options, Raw& raw) {
  AddRate(app, options, "connections");
  app.add_option("--hold", options.hold_s, "Seconds to hold them all, or until SIGTERM (10)")
      ->check(CLI::Range(0.0, 30 * kDay));
  app.add_option("--service", raw.service,
                 "How to see that a connection is alive: an echo of the wire server (raw, unless "
                 "--starttls names a service), or NOOP")
      ->check(CLI::IsMember(kServices))
      ->type_name(Choices(kServices));
}

void AddBulk(CLI::App& app, LoadOptions& options) {
  AddLength(app, options, "octets");
  AddChoice(app, "--direction", options.direction, kDirections,
            "Where the octets go; up is from here to the server (down)");
  app.add_option("--bytes", options.bytes, "Octets per connection and direction (268435456)")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 50));
}

void AddEcho(CLI::App& app, LoadOptions& options) {
  AddLength(app, options, "round trips");
  AddRate(app, options, "round trips");
  app.add_option("--size", options.size, "Octets of a message (64)")
      ->check(CLI::Range(1U, kMaxMessage));
}

void AddMix(CLI::App& app, LoadOptions& options, Raw& raw) {
  AddLength(app, options, "sessions");
  AddRate(app, options, "sessions");
  app.add_option("--service", raw.service, "Which sessions to have (imap)")
      ->check(CLI::IsMember(kMailServices))
      ->type_name(Choices(kMailServices));
  app.add_option("--user", options.login.name, "User to log in as (user)");
  app.add_option("--password-file", raw.password_file,
                 "File with the user's password in its first line (default: \"password\")")
      ->check(CLI::ExistingFile);
  app.add_option("--think", options.think_s, "Seconds that an IDLE lasts (1)")
      ->check(CLI::Range(0.0, kDay));
}

void AddChurn(CLI::App& app, LoadOptions& options) {
  AddLength(app, options, "connections");
  AddRate(app, options, "connections");
  app.add_flag("--greeting", options.greeting,
               "Read the server's first line (default: one echo of the wire server; with "
               "--starttls always the answer to NOOP, of POP3 to QUIT)");
  app.add_option("--reload-command", options.reload_command,
                 "Shell command that makes the server reload; it has to exit 0, within --timeout")
      ->type_name("COMMAND");
  app.add_option("--reload-every", options.reload_every_s, "Seconds between reloads (1)")
      ->check(CLI::Range(0.01, kDay));
}

void AddServer(CLI::App& app, ServerOptions& options, Raw& raw) {
  static const std::map<std::string, Behaviour> kBehaviours = {{"wire", Behaviour::kWire},
                                                               {"greeting", Behaviour::kGreeting}};
  AddChoice(app, "behaviour", options.behaviour, kBehaviours,
            "wire: the client's first line decides (ECHO, SINK N, SOURCE N, BOTH N); greeting: "
            "speaks first, then answers a mail client's commands")
      ->required();
  app.add_option("--listen", raw.listen, "Where to serve; port 0 is any free one")
      ->required()
      ->type_name("HOST:PORT");
  AddChoice(app, "--service", options.service, kGreeters, "What the greeting server speaks (imap)");
  app.add_option("--cpu", raw.cpus, "CPUs to pin its processes to, in turn");
  app.add_option("--processes", options.processes, "Processes that serve (1)")
      ->check(CLI::Range(1U, kMaxProcesses));
}

uint32_t DefaultConnections(ModeKind mode) {
  switch (mode) {
    case ModeKind::kHandshake:
    case ModeKind::kMix:
    case ModeKind::kChurn:
      return 32;
    case ModeKind::kIdle:
      return 1000;
    case ModeKind::kBulk:
    case ModeKind::kEcho:
      return 1;
  }
  return 1;
}

// The services of --starttls and --service; what is wrong with them, as Finish has it.
std::string FinishService(LoadOptions& options, const Raw& raw) {
  if (!raw.starttls.empty()) {
    if (options.tls == TlsChoice::kPlain) return "--starttls and --tls plain exclude each other";
    if (NeedsWire(options.mode)) {
      return fmt::format(
          "{} needs the wire server behind, and a mail server of --starttls has none",
          NameOf(options.mode));
    }
    options.starttls = kMailServices.at(raw.starttls);
  }
  if (options.mode == ModeKind::kMix) options.service = Service::kImap;
  if (options.starttls) options.service = *options.starttls;
  if (!raw.service.empty()) options.service = kServices.at(raw.service);
  if (options.starttls && *options.starttls != options.service) {
    return "--starttls and --service name different services";
  }
  return {};
}

// What only the options together tell. The text says what is wrong; empty: nothing.
std::string Finish(LoadOptions& options, const Raw& raw) {
  const auto target = ParseHostPort(raw.target);
  if (!target || target->port == 0) {
    return fmt::format("\"{}\" is no target; right is HOST:PORT or [V6]:PORT", raw.target);
  }
  options.host = target->host;
  options.port = target->port;
  if (!raw.cpus.empty()) {
    const auto cpus = ParseCpuList(raw.cpus);
    if (!cpus) return fmt::format("\"{}\" is no list of CPUs; right is 0,2 or 1-3", raw.cpus);
    options.cpus = *cpus;
  }
  if (std::string wrong = FinishService(options, raw); !wrong.empty()) return wrong;
  if (!raw.password_file.empty()) {
    std::ifstream file(raw.password_file);
    if (!std::getline(file, options.login.password)) {
      return fmt::format("{} has no first line", raw.password_file);
    }
  }
  if (options.resume && options.tls == TlsChoice::kPlain) {
    return "--resume needs TLS, and --tls plain does without";
  }
  if (options.resume && options.no_tickets && options.tls != TlsChoice::k12) {
    return "--resume with --no-tickets needs --tls 1.2: TLS 1.3 has no sessions by ID";
  }
  if (options.connections == 0) {
    options.connections = std::max(DefaultConnections(options.mode), options.processes);
  }
  if (options.connections < options.processes) {
    return fmt::format("{} processes need at least as many connections", options.processes);
  }
  if (options.duration_s == 0 && options.count == 0) options.duration_s = 10;
  // Here and not first in the processes of the load: what OpenSSL does not know is a word of the
  // command line that was not understood.
  if (options.tls == TlsChoice::kPlain) return {};
  const auto context = MakeClientContext(options, nullptr);
  return context ? std::string() : context.error().ToString();
}

std::string Finish(ServerOptions& options, const Raw& raw) {
  const auto listen = ParseHostPort(raw.listen);
  if (!listen) return fmt::format("\"{}\" is no address; right is HOST:PORT", raw.listen);
  options.host = listen->host;
  options.port = listen->port;
  if (!raw.cpus.empty()) {
    const auto cpus = ParseCpuList(raw.cpus);
    if (!cpus) return fmt::format("\"{}\" is no list of CPUs; right is 0,2 or 1-3", raw.cpus);
    options.cpus = *cpus;
  }
  return {};
}

// CLI11 says of a word that is no subcommand that one is required. Empty: the first word is known,
// or is an option.
std::string UnknownMode(const CLI::App& app, int argc, const char* const* argv) {
  if (argc < 2 || *argv[1] == '-') return {};
  std::string known;
  for (const CLI::App* mode : app.get_subcommands({})) {
    if (mode->get_name() == argv[1]) return {};
    known += (known.empty() ? "" : ", ") + mode->get_name();
  }
  return fmt::format("there is no mode \"{}\"; modes are {}", argv[1], known);
}

int Complain(const std::string& text) {
  fmt::print(stderr, "postern-bench: {}; see `postern-bench --help`\n", text);
  return kExitUsage;
}

std::string VersionText() {
  return fmt::format("postern-bench {}\n{}", POSTERN_VERSION, OpenSSL_version(OPENSSL_VERSION));
}

}  // namespace

std::expected<Command, int> ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app(kDescription, "postern-bench");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", VersionText, "Show the versions");
  LoadOptions load;
  ServerOptions server;
  Raw raw;
  const auto add = [&](ModeKind mode, const char* help) -> CLI::App& {
    CLI::App* command = app.add_subcommand(std::string(NameOf(mode)), help);
    command->callback([&load, mode] { load.mode = mode; });
    AddCommon(*command, mode, load, raw);
    return *command;
  };
  AddHandshake(add(ModeKind::kHandshake, "Handshakes per second, full or resumed"), load);
  AddIdle(add(ModeKind::kIdle, "Open many connections and hold them"), load, raw);
  AddBulk(add(ModeKind::kBulk, "Octets per second (server behind: wire)"), load);
  AddEcho(add(ModeKind::kEcho, "Round trips of small messages (server behind: wire)"), load);
  AddMix(add(ModeKind::kMix, "Mail sessions: log in, wait, fetch, log out"), load, raw);
  AddChurn(add(ModeKind::kChurn, "Short connections while the server reloads"), load);
  CLI::App* serve = app.add_subcommand("server", "A back end for measurements");
  AddServer(*serve, server, raw);
  if (const std::string wrong = UnknownMode(app, argc, argv); !wrong.empty()) {
    return std::unexpected(Complain(wrong));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    app.exit(done);
    return std::unexpected(kExitDone);
  } catch (const CLI::ParseError& error) {
    return std::unexpected(Complain(error.what()));
  }
  const std::string wrong = serve->parsed() ? Finish(server, raw) : Finish(load, raw);
  if (!wrong.empty()) return std::unexpected(Complain(wrong));
  if (serve->parsed()) return Command(server);
  return Command(load);
}

std::optional<HostPort> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // an IPv6 address without brackets: where it ends is anybody's guess
  }
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return std::nullopt;
  }
  return HostPort{std::string(host), port};
}

std::optional<std::vector<int>> ParseCpuList(std::string_view text) {
  constexpr int kMaxCpu = 4095;
  std::vector<int> cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int first = 0;
    auto [next, error] = std::from_chars(at, end, first);
    if (error != std::errc() || first < 0 || first > kMaxCpu) return std::nullopt;
    int last = first;
    if (next != end && *next == '-') {
      const auto range = std::from_chars(next + 1, end, last);
      if (range.ec != std::errc() || last < first || last > kMaxCpu) return std::nullopt;
      next = range.ptr;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (next == end) return cpus;
    if (*next != ',') return std::nullopt;
    at = next + 1;
  }
}

}  // namespace postern::bench
