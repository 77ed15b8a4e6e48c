// CertificateIndex and Segment: the readers of a generation's certificates (the worker's side).
#pragma once

#include <array>
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
#include "postern/pki/signature_schemes.h"

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

// Choices are the certificates that serve one name: at most one of each family of keys. None when
// no certificate has the name.
struct Choices {
  std::array<uint32_t, pki::kKeyFamilies> certificates{};
  uint32_t count = 0;

  bool empty() const { return count == 0; }
  const uint32_t* begin() const { return certificates.data(); }
  const uint32_t* end() const { return certificates.data() + count; }
};

// What a choice between certificates depends on, without touching the segments.
struct CertificateFacts {
  uint64_t identity = 0;  // as in CertificateView
  pki::KeyClass key_kind = pki::KeyClass::kOther;
  pki::SchemeSet schemes = 0;  // what a client must verify of the chain
};

// An OCSP response for the leaf (RFC 6960, DER).
struct StapleView {
  Bytes response;          // empty: there is none
  int64_t good_until = 0;  // its nextUpdate, seconds since 1970: not to be sent after that
};

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
  // Maps the index part and checks every offset against the segments, which must all be there.
  static Result<std::shared_ptr<const CertificateIndex>> Map(
      int fd, const std::map<PartId, SegmentPtr>& segments);

  uint32_t size() const;
  // Find looks `host` up as RFC 6066 section 3 and RFC 9525 section 6.3 want it: without regard to
  // case or a trailing dot, the exact name first, then a wildcard for its first label. `host` may
  // hold any octets. Cost: two hash look-ups.
  Choices Find(std::string_view host) const;
  // The certificates for clients without SNI or with an unknown name: the default one first, then
  // those of other families that share its first name. Never empty.
  Choices default_certificates() const;
  // `certificate` must be below size() in all of these.
  CertificateFacts Facts(uint32_t certificate) const;
  StapleView Staple(uint32_t certificate) const;
  CertificateView Get(uint32_t certificate) const;

 private:
  friend class IndexReader;
  // The certificates that have exactly this name (lower case).
  Choices Lookup(std::string_view name) const;
  Choices ChoicesAt(uint32_t first) const;
  Bytes ChainFrom(const CertificateEntry& entry) const;  // and what lies behind it

  os::Mapping mapping_;
  std::vector<SegmentPtr> segments_;  // as numbered in the index
  // Tables in the mapping, checked by Map.
  std::span<const CertificateEntry> certificates_;
  std::span<const uint32_t> lengths_;
  std::span<const NameSlot> slots_;
  std::span<const uint32_t> choices_;
  std::span<const char> texts_;
  uint32_t default_choice_ = 0;
};
using CertificateIndexPtr = std::shared_ptr<const CertificateIndex>;

}  // namespace postern::generation
