// A connection is counted first and compared with the limits then: two workers that do so at the
// same moment see each other, and the limit holds.
//
// Failures of a login are noted like others, by whoever reads logins. The relay passes octets on
// unread once TLS stands, so nothing here notes any yet.
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
  return *this;
}

void AdmissionHold::Release() {
  if (admission_ == nullptr) return;
  for (uint32_t& slot : slots_) admission_->Leave(slot);
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
  hold.Release();
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
  if (refusal != Refusal::kNone) hold.Release();
  return refusal;
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
