// Part: one sealed memfd of a generation. Generations share parts; a part lives as long as someone
// holds it. The layouts are described in docs/generations.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "postern/os/sealed_memory.h"
#include "postern/os/unique_fd.h"

namespace postern::generation {

enum class PartKind : uint8_t {
  kSettings,      // listeners, back ends, limits
  kIndex,         // name to certificates
  kCertificates,  // segment: chains, DER
  kKeys,          // segment: private keys, secret
};
std::string_view ToString(PartKind kind);

// Ids are never used twice in the life of a master.
using PartId = uint64_t;

// Part is the master's side. Destroying it wipes a secret part through the one writable mapping,
// then closes the descriptor.
class Part {
 public:
  Part(PartId id, PartKind kind, os::UniqueFd fd, size_t size, os::Mapping writable);
  ~Part();
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  PartId id() const { return id_; }
  PartKind kind() const { return kind_; }
  int fd() const { return fd_.get(); }
  size_t size() const { return size_; }

 private:
  PartId id_;
  PartKind kind_;
  os::UniqueFd fd_;
  size_t size_;
  os::Mapping writable_;  // valid for kKeys only
};
using PartPtr = std::shared_ptr<const Part>;

}  // namespace postern::generation
