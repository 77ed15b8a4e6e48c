// Session ticket keys (STEKs) shared by all workers in a page of the master's: made and rotated
// there and never on disk, or taken from files (ticket_key_files.h). Layout version 2, 2026-11-23;
// described in docs/processes.md.
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
  // Makes the page with a fresh current key; locked and kept out of core dumps.
  static Result<TicketKeyMaster> Create();
  TicketKeyMaster(TicketKeyMaster&&) noexcept;
  TicketKeyMaster& operator=(TicketKeyMaster&&) noexcept;
  ~TicketKeyMaster();  // wipes the keys

  // The descriptor that workers map (read-only).
  int fd() const { return fd_.get(); }
  // Rotate makes a new current key; the current one becomes the newest previous one and the oldest
  // previous one is wiped.
  Status Rotate();
  // Use puts keys that were made elsewhere (ticket_key_files.h) in the place of all: the first one
  // seals, the others open. One at least, at most kTicketKeyCount, of different names.
  void Use(std::span<const TicketKey> keys);
  // Renew makes one key and puts it in the place of all. When none can be made all stays as it is.
  Status Renew();
  // Inherit puts the keys in the page `fd`, which is of the master whose place this one takes, in
  // the place of all. (That page cannot be written by anybody else.) Fails when its layout is
  // another; then all stays as it is.
  Status Inherit(int fd);

 private:
  TicketKeyMaster() = default;
  os::UniqueFd fd_;
  os::Mapping mapping_;
};

// TicketKeys is a worker's view. Reads are wait-free towards the master (sequence lock).
class TicketKeys {
 public:
  static Result<TicketKeys> Map(int fd);

  // The key to seal new tickets with; nothing when the master has wiped the page.
  std::optional<TicketKey> Current() const;
  // The key named `name`, and whether it is the current one (a ticket under an older key is
  // accepted and renewed); nothing when it is unknown or retired.
  struct Found {
    TicketKey key;
    bool current = false;
  };
  std::optional<Found> Find(std::span<const std::byte, kTicketKeyName> name) const;

 private:
  os::Mapping mapping_;
};

}  // namespace postern::shm
