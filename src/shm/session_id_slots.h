// The layout of the session-ID cache and the steps of changing a slot. Private to src/shm; apart
// from its owner so that tests can stop between any two steps, as a killed worker does.
//
// A slot's `state` is one word: the second of the last change (monotonic clock, 32 bits), a count
// of changes (31 bits) and a busy bit. Whoever swaps it from idle to busy may write the slot, and
// swaps it to idle again. A writer that dies leaves it busy; nobody waits for it, and when the
// second in the word is kAbandonedS old, the next writer swaps it for a busy word of its own.
//
// So a writer that was merely stopped may wake and write into a slot that has another owner. That
// is why each slot has a digest of its content: what two writers have mixed up is not found.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "postern/base/bytes.h"
#include "postern/shm/session_id_cache.h"

namespace postern::shm {

inline constexpr uint64_t kSessionIdLayout = 0x3130'4449'5353'5350;  // "PSSSID01"
inline constexpr uint64_t kAbandonedS = 2;
inline constexpr size_t kSetSlots = 4;  // slots of a set

struct SlotContent {
  uint64_t id_size = 0;  // 0: the slot holds nothing
  std::array<std::byte, kSessionId> id{};
  uint64_t size = 0;  // of `session`
  std::array<std::byte, kStoredSession> session{};
  std::array<std::byte, 16> digest{};  // SHA-256 of all before, cut off
};

struct SessionSlot {
  static constexpr size_t kWords = sizeof(SlotContent) / sizeof(uint64_t);
  std::atomic<uint64_t> state;
  std::array<std::atomic<uint64_t>, kWords> words;  // a SlotContent
};
static_assert(sizeof(SlotContent) % sizeof(uint64_t) == 0);
static_assert(sizeof(SlotContent) == 504 && sizeof(SessionSlot) == 512);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

struct alignas(64) SessionIdHeader {
  uint64_t layout;
  uint64_t slots;  // a multiple of kSetSlots, and that a power of two; or 0
  std::atomic<uint64_t> lifetime_s;
  std::atomic<uint64_t> sweep;  // the set whose expired sessions are wiped next
  alignas(64) std::atomic<uint64_t> hits;
  std::atomic<uint64_t> misses;
  std::atomic<uint64_t> stores;
  std::atomic<uint64_t> evictions;
  std::atomic<uint64_t> refused;
};

inline constexpr uint64_t kBusy = 1;
constexpr bool IsBusy(uint64_t state) { return (state & kBusy) != 0; }
constexpr uint64_t ChangedAt(uint64_t state) { return state >> 32; }

// Claim makes the slot, seen in `state`, busy; gives the word to release it with, or 0: another was
// faster, or its writer may be alive.
uint64_t Claim(SessionSlot& slot, uint64_t state, uint64_t now_s);
// Write fills a claimed slot. Release ends the claim; false: it had been taken over.
void Write(SessionSlot& slot, const SlotContent& content);
bool Release(SessionSlot& slot, uint64_t claim);
// Read copies the content; false: it was being changed.
bool Read(const SessionSlot& slot, uint64_t state, SlotContent& content);

// Seal sets the digest; Sealed says whether it is right.
void Seal(SlotContent& content);
bool Sealed(const SlotContent& content);

}  // namespace postern::shm
