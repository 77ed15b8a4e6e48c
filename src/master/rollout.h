// Rollout: brings generations to the workers. It holds the generation that serves and, during a
// change, the one that is to serve; it briefs fresh workers and drives the Transition.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "master/holdings.h"
#include "master/listeners.h"
#include "master/supervisor.h"
#include "master/transition.h"
#include "postern/base/result.h"
#include "postern/generation/compile.h"
#include "postern/os/sealed_memory.h"
#include "postern/shm/control_page.h"

namespace postern::master {

// Proposal is a generation with all that it needs to serve.
struct Proposal {
  generation::GenerationPtr generation;
  ListenerSet listeners;
};

class Rollout : public WorkerEvents {
 public:
  // Called once per Begin: success when every worker has switched, else why none has.
  using Done = std::function<void(const Status&)>;

  static Result<std::unique_ptr<Rollout>> Create();

  int control_page_fd() const { return control_.fd.get(); }
  // `supervisor` must be set before anything else is called, and live as long.
  void set_supervisor(Supervisor* supervisor) { supervisor_ = supervisor; }

  // Begin proposes a generation to all workers; only when not busy. Before the first one has been
  // taken up, workers that start are briefed with the proposal. `timeout_ms` is what the workers
  // have for preparing, and again for switching; who has not switched then is stuck and killed.
  void Begin(Proposal next, uint64_t timeout_ms, uint64_t now_ms, Done done);
  bool busy() const { return done_ != nullptr; }
  // Cancel fails a proposal that is not committed yet, and waits no longer for one that is.
  void Cancel(const std::string& reason);
  // CloseListeners gives up the master's hold on the listening sockets (drain).
  void CloseListeners() { current_.listeners = ListenerSet(); }

  const Proposal& current() const { return current_; }  // null generation before the first
  const Holdings& holdings() const { return holdings_; }

  void OnStarted(uint32_t worker) override;
  void OnMessage(uint32_t worker, const worker::Message& message) override;
  void OnDied(uint32_t worker, const std::string& how) override;

  std::optional<uint64_t> NextDeadlineMs() const;
  // Run does what is due: timeouts, and the steps that the last messages made possible.
  void Run(uint64_t now_ms);

 private:
  explicit Rollout(os::SecretMemory control);
  shm::ControlPage& control_page();
  uint64_t current_number() const;

  // Sends `proposal` to `worker`: parts, sockets, kPrepare.
  void SendProposal(uint32_t worker, const Proposal& proposal);
  void SendParts(uint32_t worker, const generation::Generation& generation);
  void SendSockets(uint32_t worker, const Proposal& proposal);
  bool NobodyStarts() const;
  void Propose(uint64_t now_ms);
  void Commit(uint64_t now_ms);
  void Finish();
  void GiveUp(const std::string& reason);
  void KillStragglers();

  Supervisor* supervisor_ = nullptr;
  os::SecretMemory control_;
  Holdings holdings_;
  Proposal current_;
  Proposal next_;
  Proposal previous_;  // while switching: what the others still use
  std::optional<Transition> transition_;
  uint64_t timeout_ms_ = 0;
  uint64_t propose_by_ms_ = 0;  // Begin waits until then for workers that are just starting
  Done done_;
};

}  // namespace postern::master
