// Session ticket keys (STEKs) shared by all workers in a page of the master's: made and rotated
// there and never on disk, or taken from files (ticket_key_files.h). Layout version 3, 2026-11-29
// (2 had no next key); described in docs/processes.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "postern/base/limits.h"
#include "postern/base/result.h"
#include "postern/os/sealed_memory.h"
#include "postern/os/unique_fd.h"

namespace postern::shm {

inline constexpr size_t kTicketKeyName = 16;
inline constexpr size_t kTicketKeyCount = limits::kTicketKeys;

// RFC 5077 section 4: name, AES key, HMAC key.
struct TicketKey {
  std::array<std::byte, kTicketKeyName> name{};
  std::array<std::byte, 32> aes{};
  std::array<std::byte, 32> hmac{};
  uint64_t size = 32;  // octets of each of the two: 32, or 16 for AES-128
};

struct TicketPage;  // the shared layout, private to src/shm

// TicketKeyMaster is the writing side.
class TicketKeyMaster {
 public:
  // Makes the page with a fresh current key and a next one; locked and kept out of core dumps.
  static Result<TicketKeyMaster> Create();
  TicketKeyMaster(TicketKeyMaster&&) noexcept;
  TicketKeyMaster& operator=(TicketKeyMaster&&) noexcept;
  ~TicketKeyMaster();  // wipes the keys

  // The descriptor that workers map (read-only).
  int fd() const { return fd_.get(); }
  // Rotate makes the next key the current one, and a new next one; the current one becomes the
  // newest previous one and the oldest previous one is wiped.
  Status Rotate();
  // RotateAnew does so with a current key that was not in the page before: for when somebody may
  // have read it.
  Status RotateAnew();
  // Use puts keys that were made elsewhere (ticket_key_files.h) in the place of all: the first one
  // seals, the others open; there is no next one. One at least, at most kTicketKeyCount, of
  // different names.
  void Use(std::span<const TicketKey> keys);
  // Renew makes a current and a next key and puts them in the place of all. When none can be made
  // all stays as it is.
  Status Renew();
  // Inherit puts the keys in the page `fd`, which is of the master whose place this one takes, in
  // the place of all. (That page cannot be written by anybody else.) Fails when its layout is
  // another; then all stays as it is.
  Status Inherit(int fd);

 private:
  TicketKeyMaster() = default;
  Status Advance(bool anew);
  os::UniqueFd fd_;
  os::Mapping mapping_;
};

// TicketKeys is a worker's view. Reads are wait-free towards the master (sequence lock).
class TicketKeys {
 public:
  static Result<TicketKeys> Map(int fd);

  // The key to seal new tickets with; nothing when the master has wiped the page.
  std::optional<TicketKey> Current() const;
  // The key named `name`, and whether it is the current or the next one (a ticket under an older
  // key is accepted and renewed); nothing when it is unknown or retired. Who sealed with the next
  // key has seen a rotation that is still to be seen here.
  struct Found {
    TicketKey key;
    bool current = false;
  };
  std::optional<Found> Find(std::span<const std::byte, kTicketKeyName> name) const;

 private:
  os::Mapping mapping_;
};

}  // namespace postern::shm
