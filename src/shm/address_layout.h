// The layout of the address table. Private to src/shm.
//
// header | tags, one per slot | slots, each a SlotState and a count per worker, in whole cache
// lines
//
// Of both there are first those of client addresses, in sets of kWays; then those of listeners, one
// set of its own; then those of totals, which have no tags.
//
// A tag is 54 bits of a keyed hash of its address; 0: the slot is empty. A slot whose address is
// about to be changed is claimed: bit 63, the worker's number, and the tag that it had.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "postern/shm/address_table.h"
#include "shm/siphash.h"

namespace postern::shm {

inline constexpr uint64_t kAddressTableLayout = 0x3230'5344'4B41'5350;  // "PSAKDS02"
// Slots that an address may be in: their tags fill one cache line.
inline constexpr uint32_t kWays = 8;
// Slots that a listener may be in. No address can push one out; those of former generations make
// room when they have no connections.
inline constexpr uint32_t kListenerWays = 256;
inline constexpr uint32_t kTotalSlots = 8;  // one cache line of tags, for what is behind it
static_assert(kTotals <= kTotalSlots);
inline constexpr unsigned kTagBits = 54;
inline constexpr uint64_t kTagMask = (uint64_t{1} << kTagBits) - 1;
inline constexpr uint64_t kClaimed = uint64_t{1} << 63;

constexpr uint64_t ClaimOf(uint32_t worker, uint64_t tag) {
  return kClaimed | uint64_t{worker} << kTagBits | tag;
}
constexpr bool ClaimedBy(uint64_t word, uint32_t worker) {
  return (word & ~kTagMask) == ClaimOf(worker, 0);
}

// Failures and pause in one word, so that they change together. `at_ms` is the time of the last
// failure, or the end of the pause it brought.
struct FailureState {
  uint32_t failures = 0;  // 12 bits
  uint32_t pauses = 0;    // 8 bits: in a row
  uint64_t at_ms = 0;     // 44 bits

  static constexpr uint32_t kMostFailures = (1U << 12) - 1;
  static constexpr uint32_t kMostPauses = (1U << 8) - 1;

  static FailureState Of(uint64_t word) {
    return {static_cast<uint32_t>(word >> 52), static_cast<uint32_t>(word >> 44 & 0xff),
            word & ((uint64_t{1} << 44) - 1)};
  }
  uint64_t Word() const { return uint64_t{failures} << 52 | uint64_t{pauses} << 44 | at_ms; }
};

struct SlotState {
  std::atomic<uint64_t> next_token_us;  // generic cell rate algorithm: theoretical arrival time
  std::atomic<uint64_t> failures;       // FailureState
  std::atomic<uint32_t> seen_s;
  std::atomic<uint32_t> refused;  // since the last log line
  std::atomic<uint32_t> logged_s;
  uint32_t reserved;
};
static_assert(sizeof(SlotState) == 32 && std::atomic<uint64_t>::is_always_lock_free &&
              std::atomic<uint32_t>::is_always_lock_free);

// A cache line, so that the sets of tags behind it are one each. Not aligned by its type: copies of
// it lie wherever there is room.
struct AddressTableHeader {
  uint64_t layout = kAddressTableLayout;
  SipKey key{};
  uint32_t slots = 0;    // a power of two, at least kWays
  uint32_t workers = 0;  // counts in each slot
  uint32_t stride = 0;   // octets of a slot
  uint32_t reserved = 0;
  std::array<uint64_t, 3> unused{};
};
static_assert(sizeof(AddressTableHeader) == 64);

constexpr uint32_t StrideFor(uint32_t workers) {
  const size_t size = sizeof(SlotState) + size_t{workers} * sizeof(uint32_t);
  return static_cast<uint32_t>((size + 63) / 64 * 64);
}
constexpr size_t SizeFor(uint32_t slots, uint32_t workers) {
  return sizeof(AddressTableHeader) + (size_t{slots} + kListenerWays + kTotalSlots) *
                                          (sizeof(uint64_t) + size_t{StrideFor(workers)});
}

// SlotSet is where a key may be: `ways` slots, a power of two, of which it likes `start` best.
struct SlotSet {
  uint32_t first = 0;
  uint32_t ways = 0;
  uint32_t start = 0;
  uint32_t At(uint32_t i) const { return first + ((start + i) & (ways - 1)); }
};

// AddressSlots is one process's view of the table. It has a copy of the header: any worker can
// write to the shared one, and none may lead another, or the master, out of the mapping.
class AddressSlots {
 public:
  // `memory` begins with `header`, which has been checked, and outlives this.
  AddressSlots(std::byte* memory, const AddressTableHeader& header)
      : tags_(reinterpret_cast<std::atomic<uint64_t>*>(memory + sizeof header)),
        states_(memory + sizeof header +
                (size_t{header.slots} + kListenerWays + kTotalSlots) * sizeof(uint64_t)),
        header_(header) {}

  const SipKey& key() const { return header_.key; }
  // Those of addresses; those of addresses and listeners; all.
  uint32_t slots() const { return header_.slots; }
  uint32_t tagged() const { return header_.slots + kListenerWays; }
  uint32_t all() const { return tagged() + kTotalSlots; }
  uint32_t workers() const { return header_.workers; }

  // The set that a slot is in.
  SlotSet SetOf(uint32_t slot) const {
    if (slot >= slots()) return {slots(), kListenerWays, 0};
    return {slot / kWays * kWays, kWays, 0};
  }
  std::atomic<uint32_t>& Total(postern::shm::Total total, uint32_t worker) {
    return Count(tagged() + static_cast<uint32_t>(total), worker);
  }
  uint32_t SumOf(postern::shm::Total total) { return Sum(tagged() + static_cast<uint32_t>(total)); }

  std::atomic<uint64_t>& Tag(uint32_t slot) { return tags_[slot]; }
  SlotState& State(uint32_t slot) {
    return *reinterpret_cast<SlotState*>(states_ + size_t{slot} * header_.stride);
  }
  std::atomic<uint32_t>& Count(uint32_t slot, uint32_t worker) {
    return reinterpret_cast<std::atomic<uint32_t>*>(&State(slot) + 1)[worker];
  }
  uint32_t Sum(uint32_t slot) {
    uint32_t sum = 0;
    for (uint32_t worker = 0; worker < workers(); ++worker) sum += Count(slot, worker).load();
    return sum;
  }

 private:
  std::atomic<uint64_t>* tags_;
  std::byte* states_;
  const AddressTableHeader header_;
};

}  // namespace postern::shm
