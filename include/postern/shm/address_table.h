// AddressTable: what all workers together know of client addresses: connections held now, new ones
// per second, failures and the pause they brought. One table in shared memory, of fixed size; it
// lives as long as the master, across reloads and the deaths of workers. Layout version 2,
// 2026-11-29 (1 had listeners among the addresses, and no totals); described in docs/limits.md.
//
// There is no lock that a killed worker could leave held. Each count of connections has one writer:
// its worker, and when that is dead the master, which sets it to zero (Forget).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "postern/base/result.h"
#include "postern/os/sealed_memory.h"
#include "postern/os/socket_address.h"
#include "postern/os/unique_fd.h"

namespace postern::shm {

// AddressKey is what connections are counted by.
class AddressKey {
 public:
  // The client's address: IPv4 whole, IPv4-mapped IPv6 as IPv4, other IPv6 by its /64, which is
  // what one customer or one machine has (RFC 6177). Nothing when it is no IP address.
  static std::optional<AddressKey> OfClient(const os::SocketAddress& client);
  // All connections of a listener.
  static AddressKey OfListener(std::string_view listener);
  // Those of a client to one listener.
  AddressKey At(std::string_view listener) const;

  Bytes bytes() const { return octets_; }
  bool is_listener() const;

 private:
  std::array<std::byte, 32> octets_{};  // address, kind, hash of the listener's name
};

// PenaltyRule says what failures lead to. All in milliseconds; `failures` 0: to nothing.
struct PenaltyRule {
  uint32_t failures = 0;   // so many ...
  uint64_t window_ms = 0;  // ... within about so long bring a pause
  uint64_t first_ms = 0;   // the first pause; each further one is twice as long ...
  uint64_t most_ms = 0;    // ... up to this. After so long without failures all is forgotten
};

// What all workers have together, whoever the clients are.
enum class Total : uint8_t {
  kConnections,
  kHandshakes,
  kWaiting,  // workers that have less than their share and wait for a place that others give up
};
inline constexpr uint32_t kTotals = static_cast<uint32_t>(Total::kWaiting) + 1;

class AddressSlots;  // private to src/shm
struct SlotSet;

// AddressTable is a worker's view. Times are those of the monotonic clock, which is one for all
// processes.
class AddressTable {
 public:
  static constexpr uint32_t kNoSlot = UINT32_MAX;

  // `worker`: whose counts this view writes; one process at a time.
  static Result<AddressTable> Map(int fd, uint32_t worker);

  // Enter counts one more connection of `key` and returns its slot, which stays the key's until
  // Leave. A key that is new takes the place of the one among its neighbours that has no
  // connections and was seen longest ago. kNoSlot when all of them have connections: this one is
  // not counted. Listeners are no neighbours of addresses, and have room for 256.
  uint32_t Enter(const AddressKey& key, uint64_t now_ms);
  void Leave(uint32_t slot, uint64_t now_ms);

  // Connections of all workers, our own included. Two workers that enter at the same moment see
  // each other: who compares after Enter never lets more in than the limit.
  uint32_t Connections(uint32_t slot) const;

  // TakeToken: whether a connection may come now when `per_second` may on average and `burst` at
  // once. A refused one takes no token.
  bool TakeToken(uint32_t slot, uint32_t per_second, uint32_t burst, uint64_t now_ms);

  // Until when the address has to pause; 0: it has not.
  uint64_t PausedUntilMs(uint32_t slot, uint64_t now_ms) const;
  // Fail notes a failure and returns the length of the pause that it begins, if it does. Failures
  // within a pause, of connections from before it, change nothing.
  std::optional<uint64_t> Fail(uint32_t slot, const PenaltyRule& rule, uint64_t now_ms);

  // NoteRefusal counts a refusal. It returns how many there have been since a log line was last
  // due, once per `every_ms`; else 0.
  uint32_t NoteRefusal(uint32_t slot, uint64_t every_ms, uint64_t now_ms);

  // Add counts one more of a total and returns the sum of all workers, ours included: as with
  // Connections, who compares it with a limit lets no more in than that. Take undoes an Add.
  uint32_t Add(Total total);
  void Take(Total total);
  uint32_t Sum(Total total) const;

 private:
  std::optional<uint32_t> Find(uint64_t tag, const SlotSet& set);
  std::optional<uint32_t> Insert(uint64_t tag, const SlotSet& set, uint64_t now_ms);
  uint32_t Quietest(const SlotSet& set, uint64_t now_ms) const;
  bool Claim(uint32_t slot, uint64_t tag);
  bool Doubled(uint64_t tag, const SlotSet& set, uint32_t slot);
  bool Yield(uint32_t slot, uint64_t tag);

  os::Mapping mapping_;
  std::shared_ptr<AddressSlots> table_;  // over mapping_
  uint32_t worker_ = 0;
};

// AddressTableMaster makes the table and clears up behind dead workers.
class AddressTableMaster {
 public:
  // `slots` is rounded up to a power of two. The memory is there from the start: a lack of it is an
  // error here.
  static Result<AddressTableMaster> Create(uint32_t slots, uint32_t workers);

  int fd() const { return fd_.get(); }
  // Forget sets the counts of a worker to zero and gives back what it was about to take. Call it
  // after the process has been waited for and before its successor starts.
  void Forget(uint32_t worker);

  struct Usage {
    uint32_t slots = 0;
    uint32_t used = 0;
    uint32_t paused = 0;  // addresses that have to pause now
  };
  Usage Look(uint64_t now_ms) const;

 private:
  os::UniqueFd fd_;
  os::Mapping mapping_;
  std::shared_ptr<AddressSlots> table_;  // over mapping_
};

}  // namespace postern::shm
