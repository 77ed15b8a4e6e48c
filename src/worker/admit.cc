// Whom a worker takes. Lists and limits of addresses come first, before anything is made for a
// connection: who is refused costs a few system calls. What is left of the machine comes second:
// there nobody is refused, accepting stops, and clients wait in the sockets' queues.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "postern/base/log.h"
#include "worker_process.h"

namespace postern::worker {
namespace {

constexpr uint64_t kMemoryEveryMs = 250;
// It is over when a quarter more than the reserve is left, so that it does not come and go.
constexpr uint64_t kEnough = 4;
// That something is scarce is said once in so long.
constexpr uint64_t kTellEveryMs = 60'000;

// How often a worker without room looks whether others have given some up.
constexpr uint64_t kRoomEveryMs = 20;

}  // namespace

session::MachineLimits WorkerProcess::MachineLimits() const {
  return {.connections = view_->settings->max_connections(),
          .handshakes = view_->settings->max_handshakes(),
          .workers = start_.workers};
}

// Connections that may come now.
size_t WorkerProcess::Room() const {
  return std::min(places_ - std::min(places_, sessions_.size()),
                  admission_.MachinePlaces(MachineLimits()));
}

session::Refusal WorkerProcess::Screen(const Acceptors::Connection& connection,
                                       session::AdmissionHold& hold) {
  const generation::Settings& settings = *connection.view->settings;
  session::Refusal refusal = session::Refusal::kNone;
  // Behind a proxy the client's own address counts, and comes with the header.
  if (settings.listeners()[connection.listener].proxy.in == config::ProxyIn::kOff) {
    refusal = admission_.EnterAddress(settings, connection.listener, connection.peer, hold);
  }
  if (refusal != session::Refusal::kNone) return refusal;
  return admission_.EnterListener(settings, connection.listener, hold);
}

void WorkerProcess::Refuse(Acceptors::Connection connection, session::Refusal refusal) {
  const generation::ListenerSettings& listener =
      connection.view->settings->listeners()[connection.listener];
  admission_.Refused(listener, connection.peer, refusal);
  partings_.Say(std::move(connection.fd), session::RefusalWords(listener, refusal));
}

void WorkerProcess::Admit(Acceptors::Connection connection) {
  session::AdmissionHold hold;
  const session::Refusal refusal = Screen(connection, hold);
  if (refusal != session::Refusal::kNone) {
    Refuse(std::move(connection), refusal);
    return;
  }
  Waiting next{std::move(connection), std::move(hold)};
  Scarce scarce = Scarce::kNothing;
  if (waiting_.empty()) {
    scarce = TakePlaces(next.hold);
    if (scarce == Scarce::kNothing) return BeginSession(std::move(next));
  }
  TellScarce(scarce);
  acceptors_.Pause();
  waiting_.push_back(std::move(next));
}

void WorkerProcess::AdmitWaiting() {
  if (view_ == nullptr) return;
  acceptors_.SetRoom(Room());
  if (!acceptors_.paused()) return;
  while (!waiting_.empty() && TakePlaces(waiting_.front().hold) == Scarce::kNothing) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    BeginSession(std::move(next));
  }
  if (waiting_.empty()) {
    admission_.StopWaiting();
    LookAtMemory();
    if (!memory_short_ && Room() > 0) return acceptors_.Resume();
  }
  if (!room_timer_.armed()) timers_.Arm(room_timer_, now_ms_ + kRoomEveryMs);
}

void WorkerProcess::BeginSession(Waiting next) {
  Acceptors::Connection& connection = next.connection;
  const bool begun =
      sessions_.Add(session_io_, {.fd = std::move(connection.fd),
                                  .peer = connection.peer,
                                  .settings = connection.view->settings,
                                  .listener = connection.listener,
                                  .contexts = connection.view->contexts,
                                  .policy = connection.view->policies[connection.listener],
                                  .client_contexts = connection.view->client_contexts,
                                  .hold = std::move(next.hold)});
  if (!begun) {
    LogLine(LogLevel::kError, "connection refused")
        .Field("client", connection.peer.ToString())
        .Field("reason", "no free place in the descriptor table");
  }
}

// --- What is left ---

// Takes the places that a connection needs, or says what it lacks.
WorkerProcess::Scarce WorkerProcess::TakePlaces(session::AdmissionHold& hold) {
  LookAtMemory();
  if (memory_short_) return Scarce::kMemory;
  if (sessions_.size() >= places_) return Scarce::kConnections;
  switch (admission_.EnterMachine(MachineLimits(), hold)) {
    case session::MachineRoom::kYes:
      return Scarce::kNothing;
    case session::MachineRoom::kConnectionsFull:
      return Scarce::kConnections;
    case session::MachineRoom::kHandshakesFull:
      return Scarce::kHandshakes;
  }
  return Scarce::kNothing;
}

void WorkerProcess::TellScarce(Scarce scarce) {
  uint64_t& told_ms = told_ms_.at(static_cast<size_t>(scarce));
  if (acceptors_.paused() || (told_ms != 0 && now_ms_ - told_ms < kTellEveryMs)) return;
  told_ms = now_ms_;
  switch (scarce) {
    case Scarce::kConnections:
      LogLine(LogLevel::kNotice, "connection limit reached")
          .Field("connections", admission_.InAll(shm::Total::kConnections))
          .Field("worker", start_.id);
      return;
    case Scarce::kHandshakes:
      LogLine(LogLevel::kNotice, "handshake limit reached")
          .Field("handshaking", admission_.InAll(shm::Total::kHandshakes))
          .Field("worker", start_.id);
      return;
    case Scarce::kMemory:
    case Scarce::kNothing:
      return;  // LookAtMemory tells; behind those who wait already there is nothing to tell
  }
}

// Said once when it begins and once when it is over.
void WorkerProcess::LookAtMemory() {
  const uint64_t reserve = uint64_t{view_->settings->memory_reserve_mib()} << 20;
  if (reserve == 0 && !memory_short_) return;
  if (memory_looked_ms_ != 0 && now_ms_ - memory_looked_ms_ < kMemoryEveryMs) return;
  memory_looked_ms_ = now_ms_;
  const uint64_t available = memory_.AvailableBytes().value_or(UINT64_MAX);
  const bool was_short = memory_short_;
  memory_short_ = available < (was_short ? reserve + reserve / kEnough : reserve);
  if (memory_short_) timers_.Arm(memory_timer_, now_ms_ + kMemoryEveryMs);
  if (memory_short_ == was_short) return;
  LogLine(memory_short_ ? LogLevel::kWarning : LogLevel::kNotice,
          memory_short_ ? "accepting paused" : "accepting again")
      .Field("reason", memory_short_ ? "memory runs short" : "memory is free again")
      .Field("available_mib", available >> 20)
      .Field("reserve_mib", reserve >> 20)
      .Field("worker", start_.id);
}

}  // namespace postern::worker
