// Admission: who is let in. It compares connections with the limits and lists of their generation,
// counts those that are let in, notes failures, and tells the log of refusals without being flooded
// by them. What is counted lies in shm/address_table, for all workers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "postern/generation/settings.h"
#include "postern/os/socket_address.h"
#include "postern/ring/timer_wheel.h"
#include "postern/shm/address_table.h"
#include "postern/shm/counters.h"

namespace postern::session {

enum class Refusal : uint8_t {
  kNone,
  kDenied,           // by a list of networks
  kListenerFull,     // the listener's connections
  kAddressFull,      // connections_per_address of [limits]
  kAddressFullHere,  // that of the listener
  kTooFast,          // connections_per_second_per_address
  kPaused,           // too many failures
};
inline constexpr size_t kRefusals = static_cast<size_t>(Refusal::kPaused) + 1;
std::string_view ToString(Refusal refusal);  // "denied": for logs and metrics

// What counts as a failure of a client's address.
enum class Fault : uint8_t {
  kHandshake,
  kDialog,  // before TLS
  kLogin,   // refused by the server
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::kLogin) + 1;
std::string_view ToString(Fault fault);  // "handshake"

// RefusalWords is what the client of a listener is told in plain text; empty where the listener
// begins with TLS, or may, and where the protocol wants silence.
std::string_view RefusalWords(const generation::ListenerSettings& listener, Refusal refusal);

class Admission;

// AdmissionHold counts a connection for as long as it lives. It must not outlive its Admission.
class AdmissionHold {
 public:
  AdmissionHold() = default;
  AdmissionHold(AdmissionHold&& other) noexcept { *this = std::move(other); }
  AdmissionHold& operator=(AdmissionHold&& other) noexcept;
  ~AdmissionHold() { Release(); }
  void Release();
  // The connection is no longer one of the handshakes in progress.
  void EndHandshake();

 private:
  friend class Admission;
  void ReleaseSlots();
  enum Slot : uint8_t { kListener, kAddress, kAddressHere, kSlots };
  static constexpr uint32_t kNone = shm::AddressTable::kNoSlot;

  Admission* admission_ = nullptr;
  std::array<uint32_t, kSlots> slots_{kNone, kNone, kNone};
  bool connection_ = false;  // counted among all connections ...
  bool handshake_ = false;   // ... and handshakes
};

// What all workers together may have, and this one's share of it.
struct MachineLimits {
  uint32_t connections = 0;
  uint32_t handshakes = 0;  // 0: no limit
  uint32_t workers = 1;
};
enum class MachineRoom : uint8_t { kYes, kConnectionsFull, kHandshakesFull };

class Admission {
 public:
  // All is borrowed and outlives this; `now_ms` is the worker's clock.
  Admission(shm::AddressTable& table, shm::WorkerCounters& counters, ring::TimerWheel& timers,
            const uint64_t& now_ms);

  // A connection goes through both; where a PROXY header tells who the client is, EnterAddress
  // follows when that has come. Who is refused is counted in `hold` no more. Neither logs: see
  // Refused.
  Refusal EnterListener(const generation::Settings& settings, uint32_t listener,
                        AdmissionHold& hold);
  Refusal EnterAddress(const generation::Settings& settings, uint32_t listener,
                       const os::SocketAddress& client, AdmissionHold& hold);

  // EnterMachine takes a place among all connections and one among all handshakes, or neither. When
  // it cannot, the client waits: call it again in some milliseconds, as other workers give places
  // up without a word; and StopWaiting when no client waits any more.
  MachineRoom EnterMachine(const MachineLimits& limits, AdmissionHold& hold);
  void StopWaiting();
  // What all workers together have, and how many places are left to them.
  uint32_t InAll(shm::Total total) const { return table_.Sum(total); }
  size_t MachinePlaces(const MachineLimits& limits) const;

  // Refused counts a refusal and has it logged: for each address a line a minute, and not more than
  // a few lines a second in all; the others are counted in a line that follows.
  void Refused(const generation::ListenerSettings& listener, const os::SocketAddress& client,
               Refusal refusal);

  // Failed notes what the client of `hold` did.
  void Failed(const AdmissionHold& hold, const generation::Settings& settings,
              const os::SocketAddress& client, Fault fault);

 private:
  friend class AdmissionHold;
  bool MayLog();
  void TellUnlogged();
  uint32_t Enter(const shm::AddressKey& key);
  void Leave(uint32_t& slot);
  bool TakePlace(shm::Total total, uint32_t most, const MachineLimits& limits, uint64_t ours);
  uint32_t RefusalsToTell(const os::SocketAddress& client, Refusal refusal);

  shm::AddressTable& table_;
  shm::WorkerCounters& counters_;
  ring::TimerWheel& timers_;
  const uint64_t& now_ms_;
  ring::Timer unlogged_timer_;
  uint64_t lines_since_ms_ = 0;  // when the current second of lines began
  uint32_t lines_ = 0;           // in it
  uint64_t unlogged_ = 0;
  bool waiting_ = false;  // counted in Total::kWaiting
};

}  // namespace postern::session
