// The readers of segments and of the name index. Unlike the settings, the index may be megabytes
// large: it is checked once, in one pass, and then used where it lies, so that all workers together
// hold one copy. The segments' content is not touched by the check.
#include "postern/generation/certificate_index.h"

#include <cctype>
#include <utility>

#include "generation/index_image.h"
#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/base/log.h"

namespace postern::generation {
namespace {

std::unexpected<Error> Damaged(std::string_view what) {
  return Fail("the index part of the generation is refused: " + std::string(what));
}

std::unexpected<Error> NotSealed(PartKind kind) {
  return Fail("the " + std::string(ToString(kind)) + " part of the generation is not sealed");
}

void WarnOnce(const Error& error) {
  static bool warned = false;
  if (std::exchange(warned, true)) return;
  LogLine(LogLevel::kWarning, "keys are not locked in memory")
      .Field("reason", error.what)
      .Field("remedy", error.remedy);
}

// Whether `length` octets at `offset` lie in the segment, behind its header.
bool Inside(const Segment& segment, uint64_t offset, uint64_t length) {
  const uint64_t size = segment.bytes().size();
  return offset >= sizeof(PartHeader) && offset <= size && length <= size - offset;
}

}  // namespace

Result<std::shared_ptr<const Segment>> Segment::Map(PartId id, PartKind kind, int fd) {
  if (kind != PartKind::kCertificates && kind != PartKind::kKeys) {
    return Fail("the " + std::string(ToString(kind)) + " part of the generation is no segment");
  }
  if (!os::HasSeals(fd, kind == PartKind::kKeys)) return NotSealed(kind);
  Result<os::Mapping> mapping = os::MapFd(fd, os::MapMode::kReadOnly);
  if (!mapping) return std::unexpected(mapping.error());
  if (Status header = CheckHeader(mapping->bytes(), kind, false); !header) {
    return std::unexpected(header.error());
  }
  PartHeader header;
  std::memcpy(&header, mapping->bytes().data(), sizeof header);
  if (header.id != id) {
    return Fail("the " + std::string(ToString(kind)) + " part of the generation is another one");
  }
  if (kind == PartKind::kKeys) {
    if (Status locked = mapping->LockSecrets(); !locked) WarnOnce(locked.error());
  }
  auto segment = std::make_shared<Segment>();
  segment->id_ = id;
  segment->kind_ = kind;
  segment->mapping_ = std::move(*mapping);
  return segment;
}

// IndexReader checks everything that Find and Get later rely on.
class IndexReader {
 public:
  IndexReader(CertificateIndex& index, const std::map<PartId, SegmentPtr>& segments)
      : index_(index), available_(segments), part_(index.mapping_.bytes()) {}

  Status Read() {
    if (Status header = CheckHeader(part_, PartKind::kIndex, true); !header) return header;
    if (part_.size() < sizeof header_) return Damaged("it is too short");
    std::memcpy(&header_, part_.data(), sizeof header_);
    const auto certificates = TableOf<CertificateEntry>(part_, header_.certificates);
    const auto lengths = TableOf<uint32_t>(part_, header_.lengths);
    const auto slots = TableOf<NameSlot>(part_, header_.slots);
    const auto choices = TableOf<uint32_t>(part_, header_.choices);
    const auto texts = TableOf<char>(part_, header_.texts);
    if (!certificates || !lengths || !slots || !choices || !texts)
      return Damaged("a table lies outside");
    if (certificates->size() >= kMore || choices->size() > UINT32_MAX) {
      return Damaged("it is too large");
    }
    index_.certificates_ = *certificates;
    index_.lengths_ = *lengths;
    index_.slots_ = *slots;
    index_.choices_ = *choices;
    index_.texts_ = *texts;
    index_.default_choice_ = header_.default_choice;
    if (header_.default_choice >= choices->size()) {
      return Damaged("its default certificate is not there");
    }
    if (Status segments = TakeSegments(); !segments) return segments;
    if (Status checked = CheckCertificates(); !checked) return checked;
    if (Status checked = CheckChoices(); !checked) return checked;
    return CheckSlots();
  }

 private:
  Status TakeSegments() {
    const auto segments = TableOf<SegmentEntry>(part_, header_.segments);
    if (!segments) return Damaged("a table lies outside");
    for (const SegmentEntry& entry : *segments) {
      const auto found = available_.find(entry.id);
      if (found == available_.end() || found->second == nullptr) {
        return Damaged("segment " + std::to_string(entry.id) + " is not there");
      }
      if (static_cast<uint32_t>(found->second->kind()) != entry.kind) {
        return Damaged("segment " + std::to_string(entry.id) + " is of another kind");
      }
      index_.segments_.push_back(found->second);
    }
    return {};
  }

  // The segment of that number, or null when it is not there or of another kind.
  const Segment* SegmentAt(uint32_t number, PartKind kind) const {
    if (number >= index_.segments_.size()) return nullptr;
    const Segment* segment = index_.segments_[number].get();
    return segment->kind() == kind ? segment : nullptr;
  }

  Status CheckCertificates() const {
    for (const CertificateEntry& entry : index_.certificates_) {
      const Segment* chain = SegmentAt(entry.chain_segment, PartKind::kCertificates);
      const Segment* key = SegmentAt(entry.key_segment, PartKind::kKeys);
      if (chain == nullptr || key == nullptr) return Damaged("a segment is not there");
      if (!TextOf(index_.texts_, entry.name)) return Damaged("a text lies outside");
      if (entry.chain_count == 0 || entry.first_length > index_.lengths_.size() ||
          entry.chain_count > index_.lengths_.size() - entry.first_length) {
        return Damaged("a chain is damaged");
      }
      uint64_t total = 0;
      for (const uint32_t length : index_.lengths_.subspan(entry.first_length, entry.chain_count)) {
        if (length == 0) return Damaged("a chain is damaged");
        total += length;
      }
      if (!Inside(*chain, entry.chain_offset, total + entry.staple_length)) {
        return Damaged("a certificate lies outside its segment");
      }
      if (entry.key_kind >= pki::kKeyClasses)
        return Damaged("a key is of a kind that is not known");
      if (entry.key_length == 0 || !Inside(*key, entry.key_offset, entry.key_length)) {
        return Damaged("a key lies outside its segment");
      }
    }
    return {};
  }

  // Every run ends within the table and within its bound, so that wherever a slot points, what is
  // read from there on is sound.
  Status CheckChoices() const {
    size_t run = 0;
    for (const uint32_t choice : index_.choices_) {
      if ((choice & ~kMore) >= index_.certificates_.size()) {
        return Damaged("a name has a certificate that is not there");
      }
      run = (choice & kMore) != 0 ? run + 1 : 0;
      if (run >= pki::kKeyFamilies) return Damaged("a name has too many certificates");
    }
    if (run != 0) return Damaged("the certificates of a name have no end");
    return {};
  }

  Status CheckSlots() const {
    bool has_free = false;
    for (const NameSlot& slot : index_.slots_) {
      if (slot.name.length == 0) {
        has_free = true;
        continue;
      }
      if (!TextOf(index_.texts_, slot.name)) return Damaged("a text lies outside");
      if (slot.choice >= index_.choices_.size()) {
        return Damaged("a name has a certificate that is not there");
      }
    }
    // Looking an unknown name up ends at a free slot.
    if (!has_free) return Damaged("its table of names has no free slot");
    return {};
  }

  CertificateIndex& index_;
  const std::map<PartId, SegmentPtr>& available_;
  Bytes part_;
  IndexHeader header_;
};

Result<std::shared_ptr<const CertificateIndex>> CertificateIndex::Map(
    int fd, const std::map<PartId, SegmentPtr>& segments) {
  if (!os::HasSeals(fd, false)) return NotSealed(PartKind::kIndex);
  Result<os::Mapping> mapping = os::MapFd(fd, os::MapMode::kReadOnly);
  if (!mapping) return std::unexpected(mapping.error());
  auto index = std::make_shared<CertificateIndex>();
  index->mapping_ = std::move(*mapping);
  if (Status read = IndexReader(*index, segments).Read(); !read) {
    return std::unexpected(read.error());
  }
  return index;
}

uint32_t CertificateIndex::size() const { return static_cast<uint32_t>(certificates_.size()); }

Choices CertificateIndex::default_certificates() const { return ChoicesAt(default_choice_); }

Choices CertificateIndex::ChoicesAt(uint32_t first) const {
  Choices choices;
  for (uint32_t at = first;; ++at) {
    choices.certificates[choices.count++] = choices_[at] & ~kMore;
    if ((choices_[at] & kMore) == 0) return choices;
  }
}

Choices CertificateIndex::Lookup(std::string_view name) const {
  const uint64_t hash = Hash64(name);
  uint64_t at = SlotOf(hash, slots_.size());
  for (; slots_[at].name.length != 0; at = at + 1 == slots_.size() ? 0 : at + 1) {
    const NameSlot& slot = slots_[at];
    if (slot.tag == TagOf(hash) && TextOf(texts_, slot.name) == name) {
      return ChoicesAt(slot.choice);
    }
  }
  return {};
}

Choices CertificateIndex::Find(std::string_view host) const {
  // RFC 6066 section 3: the name is without a trailing dot; some clients send one all the same.
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > limits::kMaxHostName) return {};
  std::string name(host.size(), '\0');
  for (size_t i = 0; i < host.size(); ++i) {
    const char c = host[i];
    if (c == '*') return {};  // a wildcard is what certificates have, not what clients ask for
    name[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (const Choices exact = Lookup(name); !exact.empty()) return exact;
  // RFC 9525 section 6.3: a wildcard stands for one whole label, the first one.
  const size_t dot = name.find('.');
  if (dot == std::string::npos || dot == 0) return {};
  name.replace(0, dot, "*");
  return Lookup(name);
}

CertificateFacts CertificateIndex::Facts(uint32_t certificate) const {
  POSTERN_CHECK(certificate < certificates_.size());
  const CertificateEntry& entry = certificates_[certificate];
  return {entry.identity, static_cast<pki::KeyClass>(entry.key_kind), entry.schemes};
}

Bytes CertificateIndex::ChainFrom(const CertificateEntry& entry) const {
  return segments_[entry.chain_segment]->bytes().subspan(entry.chain_offset);
}

StapleView CertificateIndex::Staple(uint32_t certificate) const {
  POSTERN_CHECK(certificate < certificates_.size());
  const CertificateEntry& entry = certificates_[certificate];
  size_t chain_size = 0;
  for (const uint32_t length : lengths_.subspan(entry.first_length, entry.chain_count)) {
    chain_size += length;
  }
  return {ChainFrom(entry).subspan(chain_size, entry.staple_length), entry.staple_until};
}

CertificateView CertificateIndex::Get(uint32_t certificate) const {
  POSTERN_CHECK(certificate < certificates_.size());
  const CertificateEntry& entry = certificates_[certificate];
  CertificateView view;
  view.identity = entry.identity;
  view.name = *TextOf(texts_, entry.name);
  Bytes chain = ChainFrom(entry);
  for (const uint32_t length : lengths_.subspan(entry.first_length, entry.chain_count)) {
    view.chain_der.push_back(chain.first(length));
    chain = chain.subspan(length);
  }
  view.key_der = segments_[entry.key_segment]->bytes().subspan(entry.key_offset, entry.key_length);
  return view;
}

}  // namespace postern::generation
