// Segments: writing certificates and keys into parts, reading them back on the master's side, and
// deciding what is compacted.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "generation/sources.h"
#include "postern/base/result.h"
#include "postern/os/sealed_memory.h"
#include "postern/pki/staple.h"

namespace postern::generation {

// More batches than this and the small ones are merged: every batch costs two descriptors in the
// master and two mappings in each worker.
inline constexpr size_t kMaxBatches = 16;

// The octets of a stored certificate.
struct Content {
  Bytes chain;  // all certificates of the chain, one behind the other
  Bytes staple;
  Bytes key;
};

// SegmentCache maps batches read-only when they are first asked for; what it shows lives as long as
// it does.
class SegmentCache {
 public:
  Result<Content> Read(const Location& location);

 private:
  struct Mapped {
    BatchPtr batch;
    os::Mapping certificates;
    os::Mapping keys;
  };
  std::map<const Batch*, Mapped> mapped_;
};

// A certificate on its way into a generation: read from files (`fresh`) or stored already.
struct Candidate {
  std::shared_ptr<StoredCertificate> changed;  // set when it differs from what was there before
  StoredPtr kept;                              // else this
  // Pointers: a reload has a hundred thousand of these, nearly all of them empty.
  std::unique_ptr<pki::Pair> fresh;
  std::unique_ptr<pki::Staple> fresh_staple;  // read from its file; `changed` is set then

  const StoredCertificate& get() const { return changed != nullptr ? *changed : *kept; }
  // For writing: what other generations know of it stays as it is, so it is copied first.
  StoredCertificate& Change() {
    if (changed == nullptr) changed = std::make_shared<StoredCertificate>(*kept);
    return *changed;
  }
};

// PlaceAll gives every candidate a location: what is nowhere yet, and what compaction moves, goes
// into one new batch. What was fresh is then stored and let go of. `warnings` gets what does not
// hinder (keys that cannot be locked).
Status PlaceAll(std::vector<Candidate>& candidates, SegmentCache& cache,
                std::vector<Error>& warnings);

}  // namespace postern::generation
