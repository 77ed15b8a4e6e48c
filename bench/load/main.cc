// postern-bench: measures what a TLS server for mail does, from the client's side. The command line
// and the JSON result are what bench/compare relies on; docs/benchmarks.md describes both.
#include <fmt/format.h>
#include <sched.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "bench/load/options.h"
#include "bench/load/processes.h"
#include "bench/load/report.h"
#include "bench/load/server.h"
#include "postern/os/files.h"
#include "postern/os/process.h"
#include "postern/tls/server_contexts.h"

namespace postern::bench {
namespace {

int Complain(const Error& error) {
  fmt::print(stderr, "postern-bench: {}\n", error.ToString());
  return kExitFailed;
}

Status WriteResult(const std::string& path, const std::string& text) {
  if (path.empty()) return {};
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return {};
  }
  return os::WriteFileAtomically(path, text, 0644);
}

int Measure(const LoadOptions& options) {
  const Result<Tally> tally = RunLoad(options);
  if (!tally) return Complain(tally.error());
  if (!options.quiet) {
    // The table gives way to JSON on standard output.
    fmt::print(options.json == "-" ? stderr : stdout, "{}", ReportTable(options, *tally));
  }
  for (const Status& written : {WriteResult(options.json, ReportJson(options, *tally)),
                                WriteResult(options.html, ReportHtml(options, *tally))}) {
    if (!written) return Complain(written.error());
  }
  for (const auto& [reason, times] : tally->failures) {
    fmt::print(stderr, "postern-bench: {} failed: {}\n", times, reason);
  }
  if (tally->count == 0 && tally->failures.empty()) {
    fmt::print(stderr, "postern-bench: nothing was counted: the time was over before\n");
    return kExitFailed;
  }
  return tally->failures.empty() && tally->bytes_right ? kExitDone : kExitFailed;
}

// The first of these CPUs that we may not run on: a cpuset, or the machine, has no such one. Tried,
// because nothing else tells; the CPUs that we had are ours again after it.
std::optional<int> Unusable(const std::vector<int>& cpus) {
  cpu_set_t before;
  if (::sched_getaffinity(0, sizeof before, &before) != 0) return std::nullopt;
  std::optional<int> unusable;
  for (const int cpu : cpus) {
    if (!os::PinToCpu(cpu)) {
      unusable = cpu;
      break;
    }
  }
  ::sched_setaffinity(0, sizeof before, &before);
  return unusable;
}

int Serve(const ServerOptions& options) {
  const Status served = RunServer(options);
  return served ? kExitDone : Complain(served.error());
}

}  // namespace
}  // namespace postern::bench

int main(int argc, char** argv) {
  using namespace postern::bench;
  // Before anything else can make OpenSSL allocate.
  if (!postern::tls::UseMimalloc()) {
    std::fputs("postern-bench: OpenSSL allocated before its allocator was set\n", stderr);
  }
  const auto command = ParseCommandLine(argc, argv);
  if (!command) return command.error();
  const auto* load = std::get_if<LoadOptions>(&*command);
  const auto& cpus = load != nullptr ? load->cpus : std::get<ServerOptions>(*command).cpus;
  if (const std::optional<int> cpu = Unusable(cpus)) {
    fmt::print(stderr, "postern-bench: --cpu: there is no CPU {} that we may run on\n", *cpu);
    return kExitUsage;
  }
  const int status = load != nullptr ? Measure(*load) : Serve(std::get<ServerOptions>(*command));
  // A result that could not be written is no success.
  return std::fflush(stdout) == 0 ? status : kExitFailed;
}
