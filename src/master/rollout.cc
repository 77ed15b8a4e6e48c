// One change of generation at a time. The order that makes it safe: sockets are bound, every worker
// has prepared, the new sockets listen, the number is published, every worker is nudged, and only
// when all have switched do the old generation's parts and sockets go.
//
// What handlers learn is noted and acted upon in Run: a worker's message or death can come while
// this very class is sending, and a state machine that is entered twice is nobody's friend.
#include "master/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/base/log.h"

namespace postern::master {

Result<std::unique_ptr<Rollout>> Rollout::Create() {
  // Sealed against new writable mappings: a worker that has been broken into must not be able to
  // switch the others.
  const shm::ControlPage blank{};
  const Bytes bytes(reinterpret_cast<const std::byte*>(&blank), sizeof blank);
  Result<os::SecretMemory> control = os::MakeSecret("postern-control", bytes);
  if (!control) return std::unexpected(control.error());
  return std::unique_ptr<Rollout>(new Rollout(std::move(*control)));
}

Rollout::Rollout(os::SecretMemory control) : control_(std::move(control)) {
  new (control_.writable.mutable_bytes().data()) shm::ControlPage{};
}

shm::ControlPage& Rollout::control_page() {
  return *std::launder(
      reinterpret_cast<shm::ControlPage*>(control_.writable.mutable_bytes().data()));
}

uint64_t Rollout::current_number() const {
  return current_.generation == nullptr ? 0 : current_.generation->number;
}

// --- The way of a proposal ---

void Rollout::Begin(Proposal next, uint64_t timeout_ms, uint64_t now_ms, Done done) {
  POSTERN_CHECK(!busy());
  next_ = std::move(next);
  timeout_ms_ = timeout_ms;
  propose_by_ms_ = now_ms + timeout_ms;
  done_ = std::move(done);
  holdings_.Pin(next_.generation->number, next_.generation->parts);
  if (current_.generation == nullptr) {
    // The first generation: the workers are started with it.
    std::set<uint32_t> all;
    for (uint32_t id = 0; id < supervisor_->size(); ++id) all.insert(id);
    transition_.emplace(next_.generation->number, std::move(all), propose_by_ms_);
    return;
  }
  Run(now_ms);
}

bool Rollout::NobodyStarts() const {
  for (uint32_t id = 0; id < supervisor_->size(); ++id) {
    if (supervisor_->state(id) == WorkerState::kStarting) return false;
  }
  return true;
}

// Workers that are down take no part: they come up on whatever serves then. So a configuration that
// workers die of can be mended by a reload.
void Rollout::Propose(uint64_t now_ms) {
  supervisor_->HoldRestarts(true);
  std::set<uint32_t> serving;
  for (uint32_t id = 0; id < supervisor_->size(); ++id) {
    if (supervisor_->state(id) == WorkerState::kServing) serving.insert(id);
  }
  transition_.emplace(next_.generation->number, serving, now_ms + timeout_ms_);
  for (const uint32_t id : serving) SendProposal(id, next_);
}

void Rollout::Commit(uint64_t now_ms) {
  if (Status begun = next_.listeners.StartListening(); !begun) {
    transition_->Fail(begun.error().ToString());
    return;
  }
  previous_ = std::move(current_);
  current_ = std::exchange(next_, Proposal());
  transition_->Commit(now_ms + timeout_ms_);
  control_page().generation.store(current_.generation->number, std::memory_order_release);
  supervisor_->SendAll(worker::MessageType::kSwitch, current_.generation->number);
  supervisor_->HoldRestarts(false);
}

void Rollout::Finish() {
  transition_.reset();
  const uint64_t old = previous_.generation == nullptr ? 0 : previous_.generation->number;
  previous_ = Proposal();
  holdings_.Unpin(old);
  std::exchange(done_, nullptr)(Status());
}

void Rollout::GiveUp(const std::string& reason) {
  transition_.reset();
  const uint64_t number = next_.generation->number;
  for (uint32_t id = 0; id < supervisor_->size(); ++id) {
    worker::Message message;
    message.type = worker::MessageType::kAbort;
    message.number = number;
    if (supervisor_->state(id) == WorkerState::kServing) {
      supervisor_->Send(id, std::move(message));
    }
  }
  next_ = Proposal();
  holdings_.Forget(number);
  supervisor_->HoldRestarts(false);
  std::exchange(done_, nullptr)(Fail(reason));
}

void Rollout::Cancel(const std::string& reason) {
  if (!busy()) return;
  // Once committed it holds, and who drains does not answer any more.
  const bool committed = transition_ && transition_->phase() == Transition::Phase::kSwitching;
  committed ? Finish() : GiveUp(reason);
}

std::optional<uint64_t> Rollout::NextDeadlineMs() const {
  if (!busy()) return {};
  return transition_ ? transition_->deadline_ms() : propose_by_ms_;
}

void Rollout::Run(uint64_t now_ms) {
  if (!busy()) return;
  if (!transition_) {
    if (!NobodyStarts() && now_ms < propose_by_ms_) return;
    if (!NobodyStarts()) return GiveUp("a worker that is starting does not become ready");
    Propose(now_ms);
  }
  transition_->Expire(now_ms);
  if (transition_->phase() == Transition::Phase::kPrepared) Commit(now_ms);
  switch (transition_->phase()) {
    case Transition::Phase::kPreparing:
    case Transition::Phase::kPrepared:
      return;
    case Transition::Phase::kSwitching:
      if (now_ms >= transition_->deadline_ms()) KillStragglers();
      return;
    case Transition::Phase::kFailed:
      return GiveUp(std::string(transition_->reason()));
    case Transition::Phase::kDone:
      return Finish();
  }
}

// Who was ready and does not switch is stuck, and would go on serving what the administrator has
// replaced. Its successor starts on the new generation.
void Rollout::KillStragglers() {
  const std::set<uint32_t> stuck = transition_->waiting();
  for (const uint32_t id : stuck) {
    supervisor_->Kill(id, "it does not switch to the new generation");
    transition_->Died(id, "is stuck");
  }
  if (transition_->phase() == Transition::Phase::kDone) Finish();
}

// --- Talking with workers ---

void Rollout::SendParts(uint32_t worker, const generation::Generation& generation) {
  const auto& parts = generation.parts;
  for (size_t from = 0; from < parts.size(); from += limits::kMaxPassedDescriptors) {
    const size_t to = std::min(parts.size(), from + limits::kMaxPassedDescriptors);
    worker::Message message;
    message.type = worker::MessageType::kParts;
    message.number = generation.number;
    std::vector<int> fds;
    for (size_t i = from; i < to; ++i) {
      message.parts.push_back({parts[i]->id(), parts[i]->kind()});
      fds.push_back(parts[i]->fd());
    }
    supervisor_->Send(worker, std::move(message), fds);
  }
  holdings_.Sent(worker, generation.number, parts);
}

void Rollout::SendSockets(uint32_t worker, const Proposal& proposal) {
  worker::Message message;
  std::vector<int> fds;
  const auto send = [&] {
    if (fds.empty()) return;
    message.type = worker::MessageType::kSockets;
    message.number = proposal.generation->number;
    supervisor_->Send(worker, std::exchange(message, {}), std::exchange(fds, {}));
  };
  for (size_t i = 0; i < proposal.listeners.size(); ++i) {
    for (const int fd : proposal.listeners.fds(i, worker)) {
      message.sockets.push_back(static_cast<uint32_t>(i));
      fds.push_back(fd);
      if (fds.size() == limits::kMaxPassedDescriptors) send();
    }
  }
  send();
}

void Rollout::SendProposal(uint32_t worker, const Proposal& proposal) {
  SendParts(worker, *proposal.generation);
  SendSockets(worker, proposal);
  worker::Message message;
  message.type = worker::MessageType::kPrepare;
  message.number = proposal.generation->number;
  supervisor_->Send(worker, std::move(message));
}

void Rollout::OnStarted(uint32_t worker) {
  SendProposal(worker, current_.generation == nullptr ? next_ : current_);
}

void Rollout::OnMessage(uint32_t worker, const worker::Message& message) {
  const bool starting = supervisor_->state(worker) == WorkerState::kStarting;
  switch (message.type) {
    case worker::MessageType::kReady:
      if (transition_) transition_->Ready(worker, message.number);
      if (starting && message.number == current_number()) {
        worker::Message nudge;
        nudge.type = worker::MessageType::kSwitch;
        nudge.number = message.number;
        supervisor_->Send(worker, std::move(nudge));
      }
      return;
    case worker::MessageType::kRefused:
      // A worker that cannot even begin does not know a number yet.
      if (transition_) {
        transition_->Refused(worker, starting ? transition_->number() : message.number,
                             message.text);
      }
      if (starting && current_.generation != nullptr) {
        supervisor_->Kill(worker, message.text.c_str());
      }
      return;
    case worker::MessageType::kSwitched:
      holdings_.Switched(worker, message.number);
      if (transition_) transition_->Switched(worker, message.number);
      if (message.number == current_number()) supervisor_->MarkServing(worker);
      return;
    case worker::MessageType::kReleased:
      holdings_.Released(worker, message.number);
      return;
    case worker::MessageType::kAnswer:
      return;  // the supervisor's
    case worker::MessageType::kStart:
    case worker::MessageType::kLog:
    case worker::MessageType::kParts:
    case worker::MessageType::kSockets:
    case worker::MessageType::kPrepare:
    case worker::MessageType::kSwitch:
    case worker::MessageType::kAbort:
    case worker::MessageType::kDrain:
    case worker::MessageType::kQuit:
    case worker::MessageType::kAsk:
      supervisor_->Kill(worker, "it sent a message that only the master sends");
      return;
  }
}

void Rollout::OnDied(uint32_t worker, const std::string& how) {
  holdings_.Died(worker);
  if (transition_) transition_->Died(worker, how);
}

}  // namespace postern::master
