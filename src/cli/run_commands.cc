// run and worker: the two lives that this executable can lead. A worker is the same file started
// anew (docs/processes.md), so its command is here too, out of sight: it is of no use by hand.
#include <memory>

#include "commands.h"
#include "postern/master/master.h"
#include "postern/worker/protocol.h"
#include "postern/worker/worker.h"

namespace postern::cli {
namespace {

constexpr const char* kRunFooter = R"(
It stays in the foreground; systemd or another supervisor keeps it running. While it runs:
  SIGHUP   loads configuration and certificates again (as `postern reload`)
  SIGTERM  stops accepting, lets connections end for [timeouts] drain, then ends
  SIGINT   ends at once, and so does a second SIGTERM
  SIGUSR1  opens the log file again, after rotation
  SIGUSR2  lets the program on disk take over (as `postern upgrade`)
When nothing serves yet and no certificate is there, it makes a self-signed pair.
Exit status: 0 after an orderly end, 1 when the start was refused; every reason is on
standard error.)";

}  // namespace

void AddRunCommands(CLI::App& app, int& status) {
  CLI::App* run = app.add_subcommand("run", "Serve, in the foreground");
  auto path = std::make_shared<std::string>(kDefaultConfig);
  AddConfigOption(*run, *path);
  run->footer(kRunFooter);
  run->callback([path, &status] { status = master::RunMaster(*path); });

  CLI::App* worker = app.add_subcommand("worker", "A worker process; started by the master only");
  worker->group("");
  auto id = std::make_shared<uint32_t>(0);
  // For `ps`; the worker is told its number over the channel.
  worker->add_option("--id", *id, "Number of the worker");
  worker->callback([id, &status] { status = worker::RunWorker(worker::kChannelFd); });
}

}  // namespace postern::cli
