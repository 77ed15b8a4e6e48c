// CertificateIndex and Segment: the readers of a generation's certificates (the worker's side).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/generation/part.h"
#include "postern/os/sealed_memory.h"

namespace postern::generation {

// Entries of the index part; their layout is private to the module.
struct CertificateEntry;
struct NameSlot;

// Segment is a mapped kCertificates or kKeys part. Key segments are locked and kept out of dumps.
class Segment {
 public:
  // Refuses what is unsealed, of another kind, version or id, or has a wrong size. Keys that cannot
  // be locked in memory are used all the same; a warning in the log says so once.
  static Result<std::shared_ptr<const Segment>> Map(PartId id, PartKind kind, int fd);
  PartId id() const { return id_; }
  PartKind kind() const { return kind_; }
  Bytes bytes() const { return mapping_.bytes(); }

 private:
  PartId id_ = 0;
  PartKind kind_ = PartKind::kCertificates;
  os::Mapping mapping_;
};
using SegmentPtr = std::shared_ptr<const Segment>;

// A certificate with its key; the spans point into segments that the index holds.
struct CertificateView {
  // Names this chain and key for good: equal in every generation that shares them, never reused for
  // others in the life of a master. Contexts are cached under it.
  uint64_t identity = 0;
  std::string_view name;         // the administrator's name for it; tickets are bound to it
  std::vector<Bytes> chain_der;  // leaf first
  Bytes key_der;                 // PKCS#8
};

class CertificateIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Maps the index part and checks every offset against the segments, which must all be there.
  static Result<std::shared_ptr<const CertificateIndex>> Map(
      int fd, const std::map<PartId, SegmentPtr>& segments);

  uint32_t size() const;
  // Find looks `host` up as RFC 6066 section 3 and RFC 6125 section 6.4.3 want it: without regard
  // to case or a trailing dot, the exact name first, then a wildcard for its first label. kNone
  // when there is none. `host` may hold any octets. Cost: two hash look-ups.
  uint32_t Find(std::string_view host) const;
  // The certificate for clients without SNI or with an unknown name.
  uint32_t default_certificate() const;
  // `certificate` must be below size().
  CertificateView Get(uint32_t certificate) const;

 private:
  friend class IndexReader;
  // The number of the certificate that has exactly this name (lower case), or kNone.
  uint32_t Lookup(std::string_view name) const;

  os::Mapping mapping_;
  std::vector<SegmentPtr> segments_;  // as numbered in the index
  // Tables in the mapping, checked by Map.
  std::span<const CertificateEntry> certificates_;
  std::span<const uint32_t> lengths_;
  std::span<const NameSlot> slots_;
  std::span<const char> texts_;
  uint32_t default_certificate_ = 0;
};
using CertificateIndexPtr = std::shared_ptr<const CertificateIndex>;

}  // namespace postern::generation
