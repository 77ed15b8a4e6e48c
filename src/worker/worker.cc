// A worker's first moments: it hears from the master who it is, makes what needs privileges, drops
// them, and serves. Signals that a terminal or a service manager sends to the whole group are the
// master's business.
#include "postern/worker/worker.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "postern/base/log.h"
#include "postern/os/process.h"
#include "postern/worker/protocol.h"
#include "postern/worker/sandbox.h"
#include "worker_process.h"

namespace postern::worker {
namespace {

constexpr int kFirstWordMs = 30'000;

void LeaveSignalsToTheMaster() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ}) {
    ::signal(signal, SIG_IGN);
  }
}

// Waits for the next message; nothing when the master is gone or silent.
bool ReceiveNext(int channel, Message& message) {
  for (;;) {
    const os::ChannelOutcome outcome = Receive(channel, message);
    if (outcome == os::ChannelOutcome::kOk) return true;
    if (outcome == os::ChannelOutcome::kClosed) return false;
    pollfd wait{channel, POLLIN, 0};
    if (::poll(&wait, 1, kFirstWordMs) <= 0) return false;
  }
}

// Prepares everything up to the loop, in the order in which privileges allow it.
Result<std::unique_ptr<WorkerProcess>> Prepare(int channel, Message start) {
  if (start.start.cpu >= 0) {
    if (Status pinned = os::PinToCpu(start.start.cpu); !pinned) {
      LogLine(LogLevel::kWarning, "cannot pin worker")
          .Field("cpu", start.start.cpu)
          .Field("reason", pinned.error().what);
    }
  }
  Result<std::unique_ptr<WorkerProcess>> worker =
      WorkerProcess::Create(channel, start.start, std::move(start.fds));
  if (!worker) return worker;
  const Result<SandboxGaps> entered = EnterSandbox({.mode = start.start.sandbox,
                                                    .uid = start.start.uid,
                                                    .gid = start.start.gid,
                                                    .empty_root = start.start.empty_root});
  if (!entered) return std::unexpected(entered.error());
  return worker;
}

}  // namespace

int RunWorker(int channel) {
  LeaveSignalsToTheMaster();
  Message start;
  Message log;
  if (!ReceiveNext(channel, start) || start.type != MessageType::kStart ||
      !ReceiveNext(channel, log) || log.type != MessageType::kLog) {
    std::fputs("postern worker: this command is for the master process only\n", stderr);
    return 1;
  }
  GlobalLogging().process = fmt::format("worker/{}", start.start.id);
  Result<std::unique_ptr<WorkerProcess>> worker = Prepare(channel, std::move(start));
  if (!worker) {
    // The master refuses the start, or keeps trying, with these words.
    Message refusal;
    refusal.type = MessageType::kRefused;
    refusal.text = worker.error().ToString();
    Send(channel, refusal);
    LogLine(LogLevel::kError, "worker cannot start").Field("reason", refusal.text);
    return 1;
  }
  (*worker)->SetLog(std::move(log));
  if ((*worker)->Run()) return 0;  // drained: nothing is in flight
  // Sessions and operations that are still in flight go with the process; taking them down one by
  // one would only delay the end.
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace postern::worker
