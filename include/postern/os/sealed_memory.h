// Memory shared between the master and its workers: memfds, sealed once written.
#pragma once

#include <cstddef>
#include <string>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/os/unique_fd.h"

namespace postern::os {

// Mapping owns an mmap of a whole descriptor.
class Mapping {
 public:
  Mapping() = default;
  Mapping(std::byte* data, size_t size) : data_(data), size_(size) {}
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  bool valid() const { return data_ != nullptr; }
  Bytes bytes() const { return {data_, size_}; }
  MutableBytes mutable_bytes() { return {data_, size_}; }
  size_t size() const { return size_; }

  // LockSecrets keeps the pages in RAM and out of core dumps and of forked children. An error
  // names RLIMIT_MEMLOCK; the mapping is usable all the same.
  Status LockSecrets();
  // Wipe overwrites all octets with zero (writable mappings only).
  void Wipe();

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// MapMode: kReadOnly is MAP_SHARED|PROT_READ, kShared is MAP_SHARED|PROT_READ|PROT_WRITE.
enum class MapMode { kReadOnly, kShared };
Result<Mapping> MapFd(int fd, MapMode mode);

// MakeSealed makes a memfd that holds `content` and seals it against every change of size and
// content (F_SEAL_WRITE).
Result<UniqueFd> MakeSealed(const std::string& name, Bytes content);

// SecretMemory is a memfd sealed with F_SEAL_FUTURE_WRITE: no new writable mapping can be made,
// and `writable` is the one that remains, with which the master wipes it in the end.
struct SecretMemory {
  UniqueFd fd;
  Mapping writable;
};
// MakeSecret copies `content`; the caller wipes its own copy (OPENSSL_cleanse).
Result<SecretMemory> MakeSecret(const std::string& name, Bytes content);

// MakeShared makes a zeroed memfd of `size` octets that stays writable (counters, control page).
Result<UniqueFd> MakeShared(const std::string& name, size_t size);

// HasSeals says whether `fd` carries the seals that a part of a generation must have: shrink,
// grow, and write (or future-write for a secret). A reader refuses what is not sealed.
bool HasSeals(int fd, bool secret);

}  // namespace postern::os
