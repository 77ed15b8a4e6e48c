// The builder of the name index. A hash table and not a sorted list: two look-ups per handshake
// then cost two cache misses each, whether there are ten names or a million. Names are compared in
// full, so the hash need not withstand anybody; it is the administrator who chooses the names.
#include "generation/index_image.h"

#include "postern/base/check.h"

namespace postern::generation {
namespace {

class NameTable {
 public:
  NameTable(size_t names, TextPool& texts, std::vector<LostName>& lost)
      : slots_(names + names / 2 + 8), texts_(texts), lost_(lost) {
    names_.resize(slots_.size());
  }

  void Add(const std::string& name, uint32_t certificate) {
    const uint64_t hash = Hash64(name);
    uint64_t at = SlotOf(hash, slots_.size());
    while (slots_[at].name.length != 0) {
      if (names_[at] == name) {
        // The same name twice in one certificate is nobody's loss.
        if (slots_[at].certificate != certificate) {
          lost_.push_back({name, slots_[at].certificate, certificate});
        }
        return;
      }
      at = at + 1 == slots_.size() ? 0 : at + 1;
    }
    slots_[at] = {TagOf(hash), certificate, texts_.Add(name)};
    names_[at] = name;
  }

  const std::vector<NameSlot>& slots() const { return slots_; }

 private:
  std::vector<NameSlot> slots_;
  std::vector<std::string_view> names_;  // borrowed from the input, by slot
  TextPool& texts_;
  std::vector<LostName>& lost_;
};

size_t CountNames(const IndexInput& input) {
  size_t count = 0;
  for (const IndexedCertificate& certificate : input.certificates) {
    count += certificate.names.size();
  }
  return count;
}

}  // namespace

IndexImage BuildIndex(const IndexInput& input) {
  IndexImage result;
  TextPool texts;
  NameTable names(CountNames(input), texts, result.lost);
  std::vector<CertificateEntry> entries;
  std::vector<uint32_t> lengths;
  for (const IndexedCertificate& certificate : input.certificates) {
    const auto number = static_cast<uint32_t>(entries.size());
    CertificateEntry entry;
    entry.identity = certificate.identity;
    entry.chain_offset = certificate.chain_offset;
    entry.key_offset = certificate.key_offset;
    entry.chain_segment = certificate.chain_segment;
    entry.key_segment = certificate.key_segment;
    entry.first_length = static_cast<uint32_t>(lengths.size());
    entry.chain_count = static_cast<uint32_t>(certificate.chain_lengths.size());
    entry.key_length = certificate.key_length;
    entry.name = texts.Add(certificate.name);
    entries.push_back(entry);
    lengths.insert(lengths.end(), certificate.chain_lengths.begin(),
                   certificate.chain_lengths.end());
    for (const std::string& name : certificate.names) names.Add(name, number);
  }
  ImageBuilder<IndexHeader> image;
  IndexHeader header;
  header.segments = image.Append(input.segments);
  header.certificates = image.Append(entries);
  header.lengths = image.Append(lengths);
  header.slots = image.Append(names.slots());
  header.texts = image.Append(texts.texts());
  header.default_certificate = input.default_certificate;
  result.bytes = image.Finish(header, PartKind::kIndex);
  return result;
}

}  // namespace postern::generation
