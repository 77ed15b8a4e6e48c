// The master's entry: what has to be set before anything else, the first loading, and what is
// printed when a start is refused.
#include "postern/master/master.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "master/inheritance.h"
#include "master/master_process.h"
#include "master/shortage.h"
#include "postern/base/log.h"
#include "postern/os/capabilities.h"
#include "postern/os/process.h"
#include "postern/worker/sandbox.h"

namespace postern::master {
namespace {

// For rings and key segments of all workers; rings of an unprivileged user are charged to it.
constexpr uint64_t kLockedMemory = uint64_t{1} << 30;

// Descriptors 0, 1 and 2 must be something, or a socket of ours would become "standard error".
void OpenStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    [[maybe_unused]] const int null = ::open("/dev/null", O_RDWR);
  }
}

Status SetUpProcess() {
  OpenStandardDescriptors();
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a file at the limit of its size is an error, as a full disk is
  os::RaiseDescriptorLimit();
  os::RaiseLockedMemoryLimit(kLockedMemory);
  // Before anything is read or made, so that what a start can do a reload can do too; and after the
  // limits, which are the one thing that needs more.
  if (Status limited = os::LimitCapabilities(worker::MasterCapabilities()); !limited) {
    return limited;
  }
  return os::MakeUndumpable();  // the master holds keys
}

int Refuse(const std::vector<Error>& faults) {
  for (const Error& fault : faults) fmt::print(stderr, "postern: {}\n", fault.ToString());
  fmt::print(stderr, "postern: not started\n");
  return 1;
}

MasterOptions Options(const std::string& config_path, Inheritance inheritance) {
  MasterOptions options;
  options.config_path = config_path;
  options.load = [config_path](const LoadRequest& request) {
    return LoadGeneration(config_path, request);
  };
  options.spawn = [](uint32_t id, int channel) {
    return os::SpawnSelf({"worker", "--id", fmt::to_string(id)}, {{channel, worker::kChannelFd}});
  };
  options.spawn_successor = [config_path, program = os::ProgramPath()](
                                int channel, std::vector<std::string> variables) -> Result<pid_t> {
    if (!program) return std::unexpected(program.error());
    variables.push_back(fmt::format("{}={}", kHandoverVariable, kHandoverFd));
    return os::SpawnProgram(*program, {"run", "-c", config_path}, variables,
                            {{channel, kHandoverFd}});
  };
  options.inheritance = std::move(inheritance);
  return options;
}

Result<Inheritance> Inherit() {
  std::optional<os::UniqueFd> channel = TakeHandoverFd();
  if (channel) return ReceiveInheritance(std::move(*channel));
  return FromServiceManager();
}

}  // namespace

int RunMaster(const std::string& config_path) {
  if (Status set = SetUpProcess(); !set) return Refuse({set.error()});
  Result<Inheritance> inheritance = Inherit();
  if (!inheritance) return Refuse({inheritance.error()});
  // Signals still act as by default here: Ctrl-C ends a start that hangs in the resolver.
  LoadRequest request{nullptr, 1};
  request.succeeding = inheritance->predecessor.open();
  LoadOutcome first = LoadGeneration(config_path, request);
  if (!first) {
    inheritance->Refuse(first.error());
    return Refuse(first.error());
  }
  OutliveShortages();
  std::vector<Error> faults;
  std::unique_ptr<MasterProcess> master = MasterProcess::Create(
      Options(config_path, std::move(*inheritance)), std::move(*first), faults);
  if (master == nullptr) return Refuse(faults);
  const Status ended = master->Run();
  const int status = ended ? 0 : Refuse({ended.error()});
  const bool loading = master->loading();
  master.reset();
  if (loading) {
    // The loader thread is still reading or resolving; static objects must not be destroyed under
    // it, and nobody wants to wait for it.
    std::fflush(nullptr);
    ::_exit(status);
  }
  return status;
}

}  // namespace postern::master
