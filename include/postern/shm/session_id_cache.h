// Sessions of clients without tickets (RFC 5246 section 7.3), kept by session ID in memory that all
// workers share and that lives as long as there is a master. Layout version 1, 2026-11-23;
// described in docs/session-ids.md. What a back end's servers give us is elsewhere:
// tls/session_cache.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/os/sealed_memory.h"
#include "postern/os/unique_fd.h"

namespace postern::shm {

inline constexpr size_t kSessionId = 32;  // octets at most (RFC 5246 section 7.4.1.3)
// Octets of a session at most. Without a client certificate one has 150 and its host name; with one
// it is seldom kept.
inline constexpr size_t kStoredSession = 440;

// Since the region was made, all workers together.
struct SessionIdCounts {
  uint64_t hits = 0;       // looked for and found
  uint64_t misses = 0;     // looked for in vain: unknown, too old, or evicted
  uint64_t stores = 0;     // sessions taken in
  uint64_t evictions = 0;  // of these, ended before their time by a newer one
  uint64_t refused = 0;    // not taken in: too large, or no slot to be had
};

// SessionIdCacheMaster owns the region.
class SessionIdCacheMaster {
 public:
  // Makes a region for `entries` sessions (rounded up to a power of two; 0: for none), locked and
  // kept out of core dumps.
  static Result<SessionIdCacheMaster> Create(uint32_t entries, uint64_t lifetime_s);
  // How many Create makes for so many entries.
  static uint32_t SlotsFor(uint32_t entries);
  // FromFd takes part in a region that another master of this layout has made and owns, until Own.
  static Result<SessionIdCacheMaster> FromFd(os::UniqueFd fd);
  SessionIdCacheMaster(SessionIdCacheMaster&&) noexcept = default;
  SessionIdCacheMaster& operator=(SessionIdCacheMaster&&) = delete;
  ~SessionIdCacheMaster();  // wipes the sessions, if they are its own

  // The descriptor that workers map, and that a successor is given.
  int fd() const { return fd_.get(); }
  // How long a session may be resumed, counted from its full handshake; holds for those that are
  // kept already.
  void SetLifetime(uint64_t lifetime_s);
  uint32_t slots() const;
  SessionIdCounts Counts() const;
  // The region has another owner now, or has this one: who wipes it when it goes.
  void HandOver() { owned_ = false; }
  void Own() { owned_ = true; }

 private:
  SessionIdCacheMaster() = default;
  os::UniqueFd fd_;
  os::Mapping mapping_;
  bool owned_ = true;
};

// SessionIdCache is a worker's view. Nothing in it waits: a slot that is being written is left
// alone, and one whose writer was killed is taken over by a later one.
class SessionIdCache {
 public:
  static Result<SessionIdCache> Map(int fd);

  // False: made for no sessions at all.
  bool enabled() const;
  // Store keeps `session` under `id` (1 to kSessionId octets, random ones, as libssl makes them).
  // In its set of slots the oldest goes. False: not kept.
  bool Store(Bytes id, Bytes session, uint64_t now_s);
  // Refuse counts a session that was too large to be offered.
  void Refuse();
  // Find copies what is kept under `id` to `out` and gives its size; nothing when there is nothing,
  // or nothing young enough. The caller wipes `out`.
  std::optional<size_t> Find(Bytes id, std::span<std::byte, kStoredSession> out, uint64_t now_s);
  // Forget wipes what is kept under `id`.
  void Forget(Bytes id, uint64_t now_s);

 private:
  os::Mapping mapping_;
};

}  // namespace postern::shm
