// check --sandbox: what holds of the workers' sandbox on this machine, as whoever asks. It goes the
// same way as a start: drops the master's capabilities, then enters the sandbox in processes of its
// own.
#include "check_sandbox.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "commands.h"
#include "postern/config/config.h"
#include "postern/master/identity.h"
#include "postern/os/capabilities.h"
#include "postern/worker/sandbox.h"
#include "postern/worker/sandbox_probe.h"
#include "report.h"

namespace postern::cli {
namespace {

using worker::SandboxAttempt;
using worker::SandboxFindings;
using worker::SandboxMeasure;

// The configuration, or the defaults where there is none yet.
std::expected<config::Config, std::vector<Error>> ReadConfig(const std::string& path, bool named) {
  if (!named && ::access(path.c_str(), F_OK) != 0) return config::Config();
  auto loaded = config::Load(path);
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  return std::move(loaded->config);
}

template <typename Row, typename Text>
size_t Widest(const std::vector<Row>& rows, Text text) {
  size_t widest = 0;
  for (const Row& row : rows) widest = std::max(widest, text(row).size());
  return widest;
}

std::string Table(const SandboxFindings& findings) {
  const size_t width =
      std::max(Widest(findings.measures, [](const SandboxMeasure& row) { return row.name; }),
               Widest(findings.attempts, [](const SandboxAttempt& row) { return row.what; }));
  std::string text = "Workers have\n";
  for (const SandboxMeasure& row : findings.measures) {
    const std::string_view detail = row.detail;
    text += fmt::format("  {:<{}}  {}{}{}\n", row.name, width, row.in_force ? "yes" : "NO",
                        detail.empty() ? "" : ": ", detail);
  }
  text += "\nTried in the sandbox\n";
  for (const SandboxAttempt& row : findings.attempts) {
    text += fmt::format("  {:<{}}  {}{}\n", row.what, width,
                        row.stopped ? "" : "NOT STOPPED: ", row.outcome);
  }
  return text;
}

std::string MasterLine() {
  const Result<os::HeldCapabilities> held = os::ReadCapabilities();
  return fmt::format("\nThe master keeps the capabilities {}\n",
                     held ? os::CapabilityNames(held->permitted) : held.error().ToString());
}

int Print(const config::Config& config) {
  const Result<os::Identity> identity = master::WorkerIdentity(config.process);
  if (!identity) {
    PrintError(identity.error());
    return kFailed;
  }
  if (const Status limited = os::LimitCapabilities(worker::MasterCapabilities()); !limited) {
    PrintError(limited.error());
    return kFailed;
  }
  const Status empty_root = worker::EmptyRootPossible(config);
  const Result<SandboxFindings> findings =
      worker::ProbeSandbox({.mode = config.process.sandbox,
                            .uid = identity->uid,
                            .gid = identity->gid,
                            .empty_root = empty_root.has_value()},
                           empty_root);
  if (!findings) {
    PrintError(findings.error());
    return kFailed;
  }
  cli::Print(fmt::format("Workers run as {} (uid {}, gid {})\n\n", identity->user, identity->uid,
                         identity->gid) +
             Table(*findings) + MasterLine());
  return findings->all_good() ? kOk : kFailed;
}

}  // namespace

int CheckSandbox(const std::string& path, bool named) {
  const auto config = ReadConfig(path, named);
  if (config) return Print(*config);
  PrintErrors(config.error());
  return kFailed;
}

}  // namespace postern::cli
