// The layout of the name index and of segments, for their builders and readers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "generation/image.h"
#include "postern/base/hash.h"
#include "postern/pki/signature_schemes.h"

namespace postern::generation {

struct IndexHeader {
  PartHeader part;
  TableRef segments;      // SegmentEntry
  TableRef certificates;  // CertificateEntry
  TableRef lengths;       // uint32_t: octets of each certificate of each chain
  TableRef slots;         // NameSlot: the hash table
  TableRef choices;       // uint32_t: runs of certificates, each but the last of a run with kMore
  TableRef texts;         // octets
  uint32_t default_choice = 0;  // index into choices
  uint32_t reserved = 0;
};

struct SegmentEntry {
  uint64_t id = 0;
  uint32_t kind = 0;  // PartKind: kCertificates or kKeys
  uint32_t reserved = 0;
};

// In a run of choices: another one follows.
inline constexpr uint32_t kMore = 1U << 31;

// Offsets are from the beginning of the segment. The certificates of a chain stand one after
// another without gaps, and the OCSP response right behind the last.
struct CertificateEntry {
  uint64_t identity = 0;
  uint64_t chain_offset = 0;
  uint64_t key_offset = 0;
  int64_t staple_until = 0;    // seconds since 1970
  uint32_t chain_segment = 0;  // index into segments
  uint32_t key_segment = 0;    // index into segments
  uint32_t first_length = 0;   // index into lengths
  uint32_t chain_count = 0;    // certificates in the chain, at least 1
  uint32_t key_length = 0;
  uint32_t staple_length = 0;  // 0: no OCSP response
  uint32_t key_kind = 0;       // pki::KeyClass
  uint32_t schemes = 0;        // pki::SchemeSet
  TextRef name;
};

// A slot of an open-addressing table with linear probing. Slots are taken from Slot(hash) on, up to
// a free one; at least one slot in three is free.
struct NameSlot {
  uint32_t tag = 0;     // Tag(hash): spares most comparisons
  uint32_t choice = 0;  // index into choices
  TextRef name;         // length 0: the slot is free
};

static_assert(Plain<IndexHeader> && Plain<SegmentEntry> && Plain<CertificateEntry> &&
              Plain<NameSlot>);
static_assert(sizeof(IndexHeader) == 144 && sizeof(SegmentEntry) == 16 &&
              sizeof(CertificateEntry) == 72 && sizeof(NameSlot) == 16);

// The place comes from the upper half of the hash, the tag from the lower. Multiplying instead of
// masking lets the table have any size, where a power of two would waste up to half of it.
inline uint64_t SlotOf(uint64_t hash, uint64_t slots) { return (hash >> 32) * slots >> 32; }
inline uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash); }

// One certificate as the builder wants it.
struct IndexedCertificate {
  uint64_t identity = 0;
  std::string name;
  uint32_t chain_segment = 0;
  uint64_t chain_offset = 0;
  std::vector<uint32_t> chain_lengths;
  uint32_t key_segment = 0;
  uint64_t key_offset = 0;
  uint32_t key_length = 0;
  std::vector<std::string> names;  // lower case; "*.example.com" for a wildcard
  pki::KeyClass key_kind = pki::KeyClass::kOther;
  pki::SchemeSet schemes = 0;
  uint32_t staple_length = 0;
  int64_t staple_until = 0;
};

struct IndexInput {
  std::vector<SegmentEntry> segments;
  // Of those that share a name and a family of keys the first serves it.
  std::vector<IndexedCertificate> certificates;
  uint32_t default_certificate = 0;
};

// A name that two certificates with keys of one family have: who serves it, and who does not.
struct LostName {
  std::string name;
  uint32_t winner = 0;
  uint32_t loser = 0;
};

struct IndexImage {
  std::vector<std::byte> bytes;
  std::vector<LostName> lost;
};

// BuildIndex gives the same octets for the same input.
IndexImage BuildIndex(const IndexInput& input);

}  // namespace postern::generation
