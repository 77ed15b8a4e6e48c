// reload, upgrade, stop, status: questions to the running master over its control socket. The
// configuration file is only read for where that socket is, so that a file with faults does not
// keep anybody from stopping what runs; what is wrong with it the master itself says at a reload.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "commands.h"
#include "postern/admin/control.h"
#include "postern/config/config.h"
#include "report.h"

namespace postern::cli {
namespace {

// How long the master may take beyond waiting for its workers: certificates and names are read
// before, and a resolver that does not answer takes its time.
constexpr uint64_t kLoadingMs = 110'000;
constexpr uint64_t kPatienceMs = 30'000;

struct Target {
  std::string config = kDefaultConfig;
  std::string socket;
};

void AddTarget(CLI::App& command, Target& target) {
  CLI::Option* config = AddConfigOption(command, target.config);
  command
      .add_option("--socket", target.socket,
                  "Control socket of the running Postern; default: the one in the configuration")
      ->type_name("PATH")
      ->excludes(config);
}

// The control socket's path, or nothing after having said why not.
std::optional<config::Control> FindControl(const Target& target) {
  if (!target.socket.empty()) return config::Control{.socket = target.socket};
  auto control = config::LoadControl(target.config);
  if (!control.has_value()) {
    PrintErrors(control.error());
    PrintError({"so its control socket is not known",
                "mend the configuration, or name the socket with --socket PATH",
                {}});
    return std::nullopt;
  }
  if (control->socket.empty()) {
    PrintError({fmt::format("{} has no control socket", target.config),
                "set control_socket in [process] and restart, or use signals instead "
                "(postern run --help)",
                {}});
    return std::nullopt;
  }
  return std::move(*control);
}

// Asks, prints the answer (a refusal to `refused`), and returns the exit status.
int AskMaster(const config::Control& control, std::string_view request, uint64_t timeout_ms,
              std::FILE* refused = stderr) {
  struct stat status {};
  if (::stat(control.socket.c_str(), &status) != 0 && errno == ENOENT) {
    PrintError({fmt::format("no Postern runs there: {} does not exist", control.socket),
                "start it with `postern run`, or name the configuration or the socket of the one "
                "that runs (-c FILE, --socket PATH)",
                {}});
    return kFailed;
  }
  const Result<admin::Reply> reply = admin::Ask(control.socket, request, timeout_ms);
  if (!reply.has_value()) {
    PrintError(reply.error());
    return kFailed;
  }
  if (reply->ok) {
    Print(reply->text);
    return kOk;
  }
  fmt::print(refused, "{}", reply->text);
  return kFailed;
}

void AddReload(CLI::App& app, int& status) {
  CLI::App* reload = app.add_subcommand("reload", "Bring changes into the running Postern");
  auto target = std::make_shared<Target>();
  AddTarget(*reload, *target);
  reload->footer(R"(
The running Postern reads its configuration and certificates again, lets every worker get
ready, and switches all of them at once, or none: after a fault it goes on serving what it
served, and says what is wrong. Connections stay as they are. Waits for the outcome.
Exit status: 0 when the new configuration serves, 1 when not; the reasons are on standard
error.)");
  reload->callback([target, &status] {
    status = kFailed;
    const std::optional<config::Control> control = FindControl(*target);
    if (!control.has_value()) return;
    status = AskMaster(*control, "reload", control->prepare_timeout_ms + kLoadingMs);
  });
}

void AddUpgrade(CLI::App& app, int& status) {
  CLI::App* upgrade = app.add_subcommand("upgrade", "Let the program on disk take over");
  auto target = std::make_shared<Target>();
  AddTarget(*upgrade, *target);
  upgrade->footer(R"(
The running Postern starts the program that now stands where it was started from, with its
listening sockets; nobody is refused meanwhile. When that one serves, the old one accepts no
more and ends with its last connection. When it does not come to serve, it is ended, and the
old one goes on as if nothing had been. Waits for the outcome.
Exit status: 0 when the new program serves, 1 when not; the reasons are on standard error.)");
  upgrade->callback([target, &status] {
    status = kFailed;
    const std::optional<config::Control> control = FindControl(*target);
    if (!control.has_value()) return;
    // It may have a reload to wait for, then a word from the new program, then its start.
    status = AskMaster(*control, "upgrade", 3 * control->prepare_timeout_ms + 2 * kLoadingMs);
  });
}

void AddStop(CLI::App& app, int& status) {
  CLI::App* stop = app.add_subcommand("stop", "Stop the running Postern");
  auto target = std::make_shared<Target>();
  auto now = std::make_shared<bool>(false);
  AddTarget(*stop, *target);
  stop->add_flag("--now", *now, "End at once, connections too");
  stop->footer(R"(
Without --now it stops accepting and lets connections end for [timeouts] drain, as at
SIGTERM; what is left then is closed with its protocol's goodbye.
Exit status: 0 when it is stopping, 1 when not.)");
  stop->callback([target, now, &status] {
    status = kFailed;
    const std::optional<config::Control> control = FindControl(*target);
    if (control.has_value()) status = AskMaster(*control, *now ? "stop now" : "stop", kPatienceMs);
  });
}

void AddRotateTickets(CLI::App& app, int& status) {
  CLI::App* rotate = app.add_subcommand("rotate-tickets", "Seal session tickets with a new key");
  auto target = std::make_shared<Target>();
  AddTarget(*rotate, *target);
  rotate->footer(R"(
The running Postern does it by itself every [tickets] rotate. By hand it is for a key that
somebody may have seen: after four times no key of before is left, and who comes back with
an older ticket shakes hands in full.
Exit status: 0 when a new key seals, 1 when not (keys come from [tickets] files).)");
  rotate->callback([target, &status] {
    status = kFailed;
    const std::optional<config::Control> control = FindControl(*target);
    if (control.has_value()) status = AskMaster(*control, "rotate tickets", kPatienceMs);
  });
}

void AddStatus(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand("status", "Show what the running Postern does");
  auto target = std::make_shared<Target>();
  auto json = std::make_shared<bool>(false);
  AddTarget(*command, *target);
  command->add_flag("--json", *json, "As JSON, for programs");
  command->footer(R"(
Workers, connections, generations that are alive, how large they are and who holds them.
Exit status: 0 when it serves or drains, 1 when it does not run or is still starting (the
report is printed then too).)");
  command->callback([target, json, &status] {
    status = kFailed;
    const std::optional<config::Control> control = FindControl(*target);
    if (!control.has_value()) return;
    status = AskMaster(*control, *json ? "status json" : "status", kPatienceMs, stdout);
  });
}

}  // namespace

void AddControlCommands(CLI::App& app, int& status) {
  AddReload(app, status);
  AddUpgrade(app, status);
  AddRotateTickets(app, status);
  AddStop(app, status);
  AddStatus(app, status);
}

}  // namespace postern::cli
