// Segments are written once and never changed, so a renewed certificate leaves a hole where the old
// one was. Two rules keep that in bounds: when less than half of what the segments hold is still
// named, everything moves to one new batch; and when there are too many batches, all but the
// largest one do. So memory stays below twice the certificates' size and the cost of moving is
// spread over many reloads. Reference counts per page or a free list were considered: they would
// need writable memory, which a worker could then see change under its feet.
#include "generation/segments.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>

#include "generation/image.h"
#include "postern/base/check.h"

namespace postern::generation {
namespace {

uint64_t ChainSize(const std::vector<uint32_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), uint64_t{0});
}

// What a chain takes with the OCSP response behind it.
uint64_t ChainRoom(const Location& location) {
  return Aligned(ChainSize(location.chain_lengths) + location.staple_length);
}

// Batches in use by stored candidates, and how much of them is named.
struct Usage {
  std::vector<BatchPtr> batches;
  uint64_t held = 0;
  uint64_t named = 0;
};

// Whether anything of it is not stored yet.
bool ToStore(const Candidate& candidate) {
  return candidate.get().location.batch == nullptr || candidate.fresh_staple != nullptr;
}

Usage Measure(const std::vector<Candidate>& candidates) {
  Usage usage;
  std::set<const Batch*> seen;
  for (const Candidate& candidate : candidates) {
    const Location& location = candidate.get().location;
    if (location.batch == nullptr) continue;  // nowhere yet
    usage.named += location.size();
    if (!seen.insert(location.batch.get()).second) continue;
    usage.held += location.batch->size();
    usage.batches.push_back(location.batch);
  }
  return usage;
}

// The batches whose certificates move to the new one.
std::set<const Batch*> ToMove(const Usage& usage, bool something_new) {
  std::set<const Batch*> moving;
  const bool wasteful = usage.named * 2 < usage.held;
  const bool scattered = usage.batches.size() + (something_new ? 1 : 0) > kMaxBatches;
  if (!wasteful && !scattered) return moving;
  for (const BatchPtr& batch : usage.batches) moving.insert(batch.get());
  if (wasteful) return moving;
  const auto largest =
      std::max_element(usage.batches.begin(), usage.batches.end(),
                       [](const BatchPtr& a, const BatchPtr& b) { return a->size() < b->size(); });
  moving.erase(largest->get());
  return moving;
}

// Piece is one candidate to be written, with the octets to write.
struct Piece {
  StoredCertificate* stored = nullptr;
  std::vector<Bytes> chain;
  Bytes staple;
  Bytes key;
};

Bytes Octets(const std::vector<unsigned char>& octets) { return std::as_bytes(std::span(octets)); }

void Put(MutableBytes segment, uint64_t offset, Bytes octets) {
  POSTERN_CHECK(offset <= segment.size() && octets.size() <= segment.size() - offset);
  if (!octets.empty()) std::memcpy(segment.data() + offset, octets.data(), octets.size());
}

void PutHeader(MutableBytes segment, PartKind kind, PartId id) {
  PartHeader header;
  header.magic = Magic(kind);
  header.version = kLayoutVersion;
  header.size = segment.size();
  header.id = id;
  Put(segment, 0, std::as_bytes(std::span(&header, 1)));
}

Result<PartPtr> WriteChains(const std::vector<Piece>& pieces) {
  size_t size = sizeof(PartHeader);
  for (const Piece& piece : pieces) {
    piece.stored->location.staple_length = static_cast<uint32_t>(piece.staple.size());
    size += ChainRoom(piece.stored->location);
  }
  std::vector<std::byte> octets(size);
  const PartId id = NextPartId();
  PutHeader(octets, PartKind::kCertificates, id);
  uint64_t offset = sizeof(PartHeader);
  for (const Piece& piece : pieces) {
    Location& location = piece.stored->location;
    location.chain_offset = offset;
    uint64_t at = offset;
    for (const Bytes certificate : piece.chain) {
      Put(octets, at, certificate);
      at += certificate.size();
    }
    Put(octets, at, piece.staple);
    offset += ChainRoom(location);
  }
  Result<os::UniqueFd> fd = os::MakeSealed("postern-certificates-" + std::to_string(id), octets);
  if (!fd) return std::unexpected(fd.error());
  return std::make_shared<const Part>(id, PartKind::kCertificates, std::move(*fd), size,
                                      os::Mapping());
}

Result<PartPtr> WriteKeys(const std::vector<Piece>& pieces, std::vector<Error>& warnings) {
  size_t size = sizeof(PartHeader);
  for (const Piece& piece : pieces) size += Aligned(piece.key.size());
  // Of its final size from the start: growing would leave keys behind in freed memory.
  std::vector<unsigned char> octets(size);
  const MutableBytes segment = std::as_writable_bytes(std::span(octets));
  const PartId id = NextPartId();
  PutHeader(segment, PartKind::kKeys, id);
  uint64_t offset = sizeof(PartHeader);
  for (const Piece& piece : pieces) {
    piece.stored->location.key_offset = offset;
    Put(segment, offset, piece.key);
    offset += Aligned(piece.key.size());
  }
  const pki::SecretBytes secret(std::move(octets));
  Result<os::SecretMemory> memory =
      os::MakeSecret("postern-keys-" + std::to_string(id), Octets(secret.get()));
  if (!memory) return std::unexpected(memory.error());
  if (Status locked = memory->writable.LockSecrets(); !locked) warnings.push_back(locked.error());
  return std::make_shared<const Part>(id, PartKind::kKeys, std::move(memory->fd), size,
                                      std::move(memory->writable));
}

// PieceOf makes a piece of a candidate whose certificate was read from files.
Piece PieceOf(Candidate& candidate) {
  Piece piece;
  piece.stored = candidate.changed.get();
  Location& location = piece.stored->location;
  location.chain_lengths.clear();
  for (const std::vector<unsigned char>& der : candidate.fresh->chain_der) {
    location.chain_lengths.push_back(static_cast<uint32_t>(der.size()));
    piece.chain.push_back(Octets(der));
  }
  if (candidate.fresh_staple) piece.staple = Octets(candidate.fresh_staple->response);
  piece.key = Octets(candidate.fresh->key_der.get());
  location.key_length = static_cast<uint32_t>(piece.key.size());
  return piece;
}

// MovedPiece makes a piece of a candidate that is stored elsewhere, with its new OCSP response when
// it has one.
Result<Piece> MovedPiece(Candidate& candidate, SegmentCache& cache) {
  const Result<Content> content = cache.Read(candidate.get().location);
  if (!content) return std::unexpected(content.error());
  const Bytes staple =
      candidate.fresh_staple ? Octets(candidate.fresh_staple->response) : content->staple;
  return Piece{&candidate.Change(), {content->chain}, staple, content->key};
}

std::atomic<uint64_t> next_part_id{1};
std::atomic<uint64_t> next_identity{1};

}  // namespace

PartId NextPartId() { return next_part_id.fetch_add(1); }
uint64_t NextIdentity() { return next_identity.fetch_add(1); }

uint64_t Location::size() const { return ChainRoom(*this) + Aligned(key_length); }

Result<Content> SegmentCache::Read(const Location& location) {
  Mapped& mapped = mapped_[location.batch.get()];
  if (mapped.batch == nullptr) {
    Result<os::Mapping> certificates =
        os::MapFd(location.batch->certificates->fd(), os::MapMode::kReadOnly);
    if (!certificates) return std::unexpected(certificates.error());
    Result<os::Mapping> keys = os::MapFd(location.batch->keys->fd(), os::MapMode::kReadOnly);
    if (!keys) return std::unexpected(keys.error());
    // Out of core dumps; the pages themselves are locked by the part's own mapping.
    [[maybe_unused]] const Status locked = keys->LockSecrets();
    mapped = {location.batch, std::move(*certificates), std::move(*keys)};
  }
  const uint64_t chain_size = ChainSize(location.chain_lengths);
  const Bytes chain = mapped.certificates.bytes().subspan(location.chain_offset);
  return Content{chain.first(chain_size), chain.subspan(chain_size, location.staple_length),
                 mapped.keys.bytes().subspan(location.key_offset, location.key_length)};
}

Status PlaceAll(std::vector<Candidate>& candidates, SegmentCache& cache,
                std::vector<Error>& warnings) {
  const bool something_new =
      std::any_of(candidates.begin(), candidates.end(),
                  [](const Candidate& candidate) { return ToStore(candidate); });
  const std::set<const Batch*> moving = ToMove(Measure(candidates), something_new);
  std::vector<Piece> pieces;
  for (Candidate& candidate : candidates) {
    const Batch* batch = candidate.get().location.batch.get();
    if (batch == nullptr) {
      pieces.push_back(PieceOf(candidate));
    } else if (moving.contains(batch) || candidate.fresh_staple != nullptr) {
      Result<Piece> piece = MovedPiece(candidate, cache);
      if (!piece) return std::unexpected(piece.error());
      pieces.push_back(std::move(*piece));
    }
  }
  if (pieces.empty()) return {};
  Batch batch;
  Result<PartPtr> certificates = WriteChains(pieces);
  if (!certificates) return std::unexpected(certificates.error());
  Result<PartPtr> keys = WriteKeys(pieces, warnings);
  if (!keys) return std::unexpected(keys.error());
  batch.certificates = std::move(*certificates);
  batch.keys = std::move(*keys);
  const auto shared = std::make_shared<const Batch>(std::move(batch));
  for (const Piece& piece : pieces) piece.stored->location.batch = shared;
  for (Candidate& candidate : candidates) {
    candidate.fresh.reset();
    candidate.fresh_staple.reset();
  }
  return {};
}

}  // namespace postern::generation
