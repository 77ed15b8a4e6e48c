// TicketPage: the layout of the page that carries the ticket keys, and the two operations on it.
// Private to src/shm; apart from its owner so that it is tested on plain memory too.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "postern/shm/ticket_keys.h"

namespace postern::shm {

inline constexpr uint64_t kTicketPageLayout = 0x3330'5354'4B54'5350;  // "PSTKTS03"

// Newest first: the next key, the current one, previous ones. A place without a key has a name of
// zeros.
using TicketKeySet = std::array<TicketKey, 1 + kTicketKeyCount>;
inline constexpr size_t kNextKey = 0;
inline constexpr size_t kCurrentKey = 1;

struct TicketPage {
  static constexpr size_t kWords = sizeof(TicketKeySet) / sizeof(uint64_t);
  // The words of a TicketKeySet; atomic, because a reader may meet the writer in the middle.
  using Copy = std::array<std::atomic<uint64_t>, kWords>;

  uint64_t layout;
  std::atomic<uint64_t> sequence;  // the copy in force is copies[sequence % 2]
  std::array<Copy, 2> copies;
};
static_assert(sizeof(TicketKeySet) % sizeof(uint64_t) == 0);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Publish makes `keys` the set in force. One writer only.
void Publish(TicketPage& page, const TicketKeySet& keys);
// Snapshot copies the set in force; the caller wipes it.
void Snapshot(const TicketPage& page, TicketKeySet& keys);

}  // namespace postern::shm
