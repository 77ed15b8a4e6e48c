// A connection is counted first and compared with the limits then: two workers that do so at the
// same moment see each other, and the limit holds.
#include "postern/session/admission.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "postern/base/log.h"
#include "postern/mail/replies.h"
#include "postern/session/session.h"

namespace postern::session {
namespace {

// One address is told of once in so long.
constexpr uint64_t kSameAddressMs = 60'000;
// Lines about refusals that a worker writes in a second. More would only hide what else happens.
constexpr uint32_t kLinesPerSecond = 5;
constexpr uint64_t kUnloggedEveryMs = 10'000;

bool InAny(const std::vector<os::Network>& networks, const os::SocketAddress& client) {
  return std::ranges::any_of(networks,
                             [&](const os::Network& network) { return network.Contains(client); });
}

bool LetIn(const config::ListenerAccess& access, const os::SocketAddress& client) {
  if (InAny(access.deny, client)) return false;
  return access.allow.empty() || InAny(access.allow, client);
}

mail::Occasion OccasionOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kDenied:
      return mail::Occasion::kDenied;
    case Refusal::kPaused:
      return mail::Occasion::kTooManyFailures;
    case Refusal::kNone:
    case Refusal::kListenerFull:
    case Refusal::kAddressFull:
    case Refusal::kAddressFullHere:
    case Refusal::kTooFast:
      return mail::Occasion::kTooManyConnections;
  }
  return mail::Occasion::kTooManyConnections;
}

}  // namespace

std::string_view ToString(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "none";
    case Refusal::kDenied:
      return "denied";
    case Refusal::kListenerFull:
      return "listener-full";
    case Refusal::kAddressFull:
      return "address-full";
    case Refusal::kAddressFullHere:
      return "address-full-here";
    case Refusal::kTooFast:
      return "too-fast";
    case Refusal::kPaused:
      return "paused";
  }
  return "unknown";
}

std::string_view ToString(Fault fault) {
  switch (fault) {
    case Fault::kHandshake:
      return "handshake";
    case Fault::kDialog:
      return "dialog";
    case Fault::kLogin:
      return "login";
  }
  return "unknown";
}

std::string_view RefusalWords(const generation::ListenerSettings& listener, Refusal refusal) {
  const bool plain =
      listener.tls == config::TlsMode::kStartTls || listener.tls == config::TlsMode::kOff;
  if (!plain) return {};
  return mail::Reply(ProtocolOf(listener.service), OccasionOf(refusal));
}

// --- Holds ---

AdmissionHold& AdmissionHold::operator=(AdmissionHold&& other) noexcept {
  if (this == &other) return *this;
  Release();
  admission_ = std::exchange(other.admission_, nullptr);
  slots_ = std::exchange(other.slots_, {kNone, kNone, kNone});
  connection_ = std::exchange(other.connection_, false);
  handshake_ = std::exchange(other.handshake_, false);
  return *this;
}

// Who is refused may still be told so: the connection goes on to be one of the machine's.
void AdmissionHold::ReleaseSlots() {
  if (admission_ == nullptr) return;
  for (uint32_t& slot : slots_) admission_->Leave(slot);
}

void AdmissionHold::EndHandshake() {
  if (handshake_) admission_->table_.Take(shm::Total::kHandshakes);
  handshake_ = false;
}

void AdmissionHold::Release() {
  ReleaseSlots();
  EndHandshake();
  if (connection_) admission_->table_.Take(shm::Total::kConnections);
  connection_ = false;
  admission_ = nullptr;
}

uint32_t Admission::Enter(const shm::AddressKey& key) {
  const uint32_t slot = table_.Enter(key, now_ms_);
  if (slot == shm::AddressTable::kNoSlot) counters_.addresses_untracked.Add();
  return slot;
}

void Admission::Leave(uint32_t& slot) {
  table_.Leave(std::exchange(slot, shm::AddressTable::kNoSlot), now_ms_);
}

// --- Decisions ---

Admission::Admission(shm::AddressTable& table, shm::WorkerCounters& counters,
                     ring::TimerWheel& timers, const uint64_t& now_ms)
    : table_(table),
      counters_(counters),
      timers_(timers),
      now_ms_(now_ms),
      unlogged_timer_(this, [](void* self) { static_cast<Admission*>(self)->TellUnlogged(); }) {
  static_assert(kRefusals <= shm::kRefusalKinds && kFaults <= shm::kFaultKinds);
}

Refusal Admission::EnterListener(const generation::Settings& settings, uint32_t listener,
                                 AdmissionHold& hold) {
  const generation::ListenerSettings& to = settings.listeners()[listener];
  hold.admission_ = this;
  uint32_t& slot = hold.slots_[AdmissionHold::kListener];
  slot = Enter(shm::AddressKey::OfListener(to.name));
  const uint32_t most = to.access.connections;
  if (most == 0 || slot == AdmissionHold::kNone || table_.Connections(slot) <= most) {
    return Refusal::kNone;
  }
  hold.ReleaseSlots();
  return Refusal::kListenerFull;
}

Refusal Admission::EnterAddress(const generation::Settings& settings, uint32_t listener,
                                const os::SocketAddress& client, AdmissionHold& hold) {
  const generation::ListenerSettings& to = settings.listeners()[listener];
  if (!LetIn(to.access, client)) return Refusal::kDenied;
  const config::AddressLimits& limits = settings.address_limits();
  const auto key = shm::AddressKey::OfClient(client);
  if (!key || InAny(limits.exempt, client)) return Refusal::kNone;
  hold.admission_ = this;
  uint32_t& slot = hold.slots_[AdmissionHold::kAddress];
  slot = Enter(*key);
  if (slot == AdmissionHold::kNone) return Refusal::kNone;
  Refusal refusal = Refusal::kNone;
  if (limits.failures != 0 && table_.PausedUntilMs(slot, now_ms_) != 0) {
    refusal = Refusal::kPaused;
  } else if (limits.connections != 0 && table_.Connections(slot) > limits.connections) {
    refusal = Refusal::kAddressFull;
  } else if (to.access.connections_per_address != 0) {
    uint32_t& here = hold.slots_[AdmissionHold::kAddressHere];
    here = Enter(key->At(to.name));
    if (here != AdmissionHold::kNone &&
        table_.Connections(here) > to.access.connections_per_address) {
      Leave(here);
      refusal = Refusal::kAddressFullHere;
    }
  }
  if (refusal == Refusal::kNone && limits.connections_per_second != 0 &&
      !table_.TakeToken(slot, limits.connections_per_second, limits.burst, now_ms_)) {
    refusal = Refusal::kTooFast;
  }
  if (refusal != Refusal::kNone) hold.ReleaseSlots();
  return refusal;
}

// Whether there was a place. A worker that has its share leaves one to each of those that have less
// and wait: they look every few milliseconds, and it would take up again at once whatever it gives
// up, so that in the end it had all of them.
bool Admission::TakePlace(shm::Total total, uint32_t most, const MachineLimits& limits,
                          uint64_t ours) {
  const uint32_t share = std::max(most / std::max(limits.workers, 1U), 1U);
  const uint32_t waiting = table_.Sum(shm::Total::kWaiting);
  const uint64_t left_to_others =
      ours < share ? 0 : waiting - std::min(waiting, waiting_ ? 1U : 0U);
  if (table_.Sum(total) + left_to_others < most) {
    if (table_.Add(total) + left_to_others <= most) return true;
    table_.Take(total);
  }
  const bool waits = ours < share;
  if (waits && !waiting_) table_.Add(shm::Total::kWaiting);
  if (!waits) StopWaiting();
  waiting_ = waits;
  return false;
}

MachineRoom Admission::EnterMachine(const MachineLimits& limits, AdmissionHold& hold) {
  hold.admission_ = this;
  if (!TakePlace(shm::Total::kConnections, limits.connections, limits,
                 counters_.connections.Get())) {
    return MachineRoom::kConnectionsFull;
  }
  // Without a limit they are counted all the same: a reload may bring one.
  const uint32_t handshakes = limits.handshakes == 0 ? UINT32_MAX : limits.handshakes;
  if (!TakePlace(shm::Total::kHandshakes, handshakes, limits, counters_.handshaking.Get())) {
    table_.Take(shm::Total::kConnections);
    return MachineRoom::kHandshakesFull;
  }
  hold.connection_ = true;
  hold.handshake_ = true;
  return MachineRoom::kYes;
}

void Admission::StopWaiting() {
  if (waiting_) table_.Take(shm::Total::kWaiting);
  waiting_ = false;
}

size_t Admission::MachinePlaces(const MachineLimits& limits) const {
  const auto left = [&](shm::Total total, uint32_t most) {
    return most - std::min(most, table_.Sum(total));
  };
  const uint32_t places = left(shm::Total::kConnections, limits.connections);
  if (limits.handshakes == 0) return places;
  return std::min(places, left(shm::Total::kHandshakes, limits.handshakes));
}

void Admission::Failed(const AdmissionHold& hold, const generation::Settings& settings,
                       const os::SocketAddress& client, Fault fault) {
  const uint32_t slot = hold.slots_[AdmissionHold::kAddress];
  if (slot == AdmissionHold::kNone) return;
  counters_.faults.at(static_cast<size_t>(fault)).Add();
  const config::AddressLimits& limits = settings.address_limits();
  const auto pause_ms = table_.Fail(slot,
                                    {.failures = limits.failures,
                                     .window_ms = limits.failure_window_ms,
                                     .first_ms = limits.penalty_ms,
                                     .most_ms = limits.penalty_max_ms},
                                    now_ms_);
  if (!pause_ms) return;
  counters_.penalties.Add();
  if (!MayLog()) return;
  LogLine line(LogLevel::kNotice, "address has to pause");
  line.Field("client", client.IpString()).Field("fault", ToString(fault));
  line.FieldMs("pause", *pause_ms);
}

// --- The log ---

// Of how many refusals a line is due. An address that is denied takes no place in the table, which
// is for those that may come.
uint32_t Admission::RefusalsToTell(const os::SocketAddress& client, Refusal refusal) {
  const auto key = shm::AddressKey::OfClient(client);
  if (refusal == Refusal::kDenied || !key) return 1;
  uint32_t slot = table_.Enter(*key, now_ms_);
  if (slot == shm::AddressTable::kNoSlot) return 1;
  const uint32_t refusals = table_.NoteRefusal(slot, kSameAddressMs, now_ms_);
  Leave(slot);
  return refusals;
}

void Admission::Refused(const generation::ListenerSettings& listener,
                        const os::SocketAddress& client, Refusal refusal) {
  counters_.refused.at(static_cast<size_t>(refusal)).Add();
  const uint32_t refusals = RefusalsToTell(client, refusal);
  if (refusals == 0 || !MayLog()) return;
  LogLine(LogLevel::kNotice, "connection refused")
      .Field("client", client.ToString())
      .Field("listener", listener.name)
      .Field("refusal", ToString(refusal))
      .Field("refusals", refusals);
}

bool Admission::MayLog() {
  if (now_ms_ - lines_since_ms_ >= 1'000) {
    lines_since_ms_ = now_ms_;
    lines_ = 0;
  }
  if (lines_ < kLinesPerSecond) {
    ++lines_;
    return true;
  }
  ++unlogged_;
  if (!unlogged_timer_.armed()) timers_.Arm(unlogged_timer_, now_ms_ + kUnloggedEveryMs);
  return false;
}

void Admission::TellUnlogged() {
  LogLine(LogLevel::kNotice, "refusals without a line of their own")
      .Field("count", std::exchange(unlogged_, 0));
}

}  // namespace postern::session
