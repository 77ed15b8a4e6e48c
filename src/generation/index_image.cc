// The builder of the name index. A hash table and not a sorted list: two look-ups per handshake
// then cost two cache misses each, whether there are ten names or a million. Names are compared in
// full, so the hash need not withstand anybody; it is the administrator who chooses the names.
#include "generation/index_image.h"

#include "postern/base/check.h"
#include "postern/generation/certificate_index.h"

namespace postern::generation {
namespace {

class NameTable {
 public:
  NameTable(size_t names, const IndexInput& input, TextPool& texts, std::vector<LostName>& lost)
      : slots_(names + names / 2 + 8), input_(input), texts_(texts), lost_(lost) {
    names_.resize(slots_.size());
    serving_.resize(slots_.size());
  }

  void Add(const std::string& name, uint32_t certificate) {
    const size_t at = SlotFor(name);
    Choices& serving = serving_[at];
    if (slots_[at].name.length == 0) {
      slots_[at] = {TagOf(Hash64(name)), 0, texts_.Add(name)};
      names_[at] = name;
    }
    for (const uint32_t other : serving) {
      // The same name twice in one certificate is nobody's loss.
      if (other == certificate) return;
      if (Family(other) != Family(certificate)) continue;
      lost_.push_back({name, other, certificate});
      return;
    }
    serving.certificates[serving.count++] = certificate;
  }

  // The table of choices, and in every slot its place there.
  std::vector<uint32_t> LayChoices() {
    std::vector<uint32_t> choices;
    for (size_t at = 0; at < slots_.size(); ++at) {
      if (!serving_[at].empty()) slots_[at].choice = Lay(serving_[at], choices);
    }
    return choices;
  }

  // The run of the default certificate, with those of other families that have its first name.
  uint32_t LayDefault(std::vector<uint32_t>& choices) const {
    Choices run{{input_.default_certificate}, 1};
    const size_t number = input_.default_certificate;
    if (number < input_.certificates.size() && !input_.certificates[number].names.empty()) {
      for (const uint32_t other : serving_[SlotFor(input_.certificates[number].names.front())]) {
        if (Family(other) == Family(input_.default_certificate)) continue;
        run.certificates[run.count++] = other;
      }
    }
    return Lay(run, choices);
  }

  const std::vector<NameSlot>& slots() const { return slots_; }

 private:
  // The slot that holds the name or, when none does, the free one where it belongs.
  size_t SlotFor(std::string_view name) const {
    uint64_t at = SlotOf(Hash64(name), slots_.size());
    while (slots_[at].name.length != 0 && names_[at] != name) {
      at = at + 1 == slots_.size() ? 0 : at + 1;
    }
    return at;
  }

  static uint32_t Lay(const Choices& run, std::vector<uint32_t>& choices) {
    const auto first = static_cast<uint32_t>(choices.size());
    for (const uint32_t certificate : run) choices.push_back(certificate | kMore);
    choices.back() &= ~kMore;
    return first;
  }

  pki::KeyFamily Family(uint32_t certificate) const {
    return pki::FamilyOf(input_.certificates[certificate].key_kind);
  }

  std::vector<NameSlot> slots_;
  std::vector<std::string_view> names_;  // borrowed from the input, by slot
  std::vector<Choices> serving_;         // by slot
  const IndexInput& input_;
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
  NameTable names(CountNames(input), input, texts, result.lost);
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
    entry.key_kind = static_cast<uint32_t>(certificate.key_kind);
    entry.schemes = certificate.schemes;
    entry.staple_length = certificate.staple_length;
    entry.staple_until = certificate.staple_until;
    entry.name = texts.Add(certificate.name);
    entries.push_back(entry);
    lengths.insert(lengths.end(), certificate.chain_lengths.begin(),
                   certificate.chain_lengths.end());
    for (const std::string& name : certificate.names) names.Add(name, number);
  }
  std::vector<uint32_t> choices = names.LayChoices();
  ImageBuilder<IndexHeader> image;
  IndexHeader header;
  header.default_choice = names.LayDefault(choices);
  header.segments = image.Append(input.segments);
  header.certificates = image.Append(entries);
  header.lengths = image.Append(lengths);
  header.slots = image.Append(names.slots());
  header.choices = image.Append(choices);
  header.texts = image.Append(texts.texts());
  result.bytes = image.Finish(header, PartKind::kIndex);
  return result;
}

}  // namespace postern::generation
