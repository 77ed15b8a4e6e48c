// What all parts have in common: the header, tables found by offset, texts found by offset, and the
// checks that a reader makes before it follows any of them. docs/generations.md draws the layouts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "postern/base/bytes.h"
#include "postern/base/result.h"
#include "postern/generation/part.h"

namespace postern::generation {

inline constexpr uint32_t kLayoutVersion = 7;
// Every table and every certificate begins at a multiple of this.
inline constexpr size_t kAlignment = 8;

// Numbers are in the machine's own order: a part never leaves the machine, nor the executable.
struct PartHeader {
  uint64_t magic = 0;
  uint32_t version = 0;
  uint32_t reserved = 0;
  uint64_t size = 0;      // of the whole part
  uint64_t id = 0;        // segments: their part's; 0 in settings and index
  uint64_t checksum = 0;  // settings and index: over all of it, this field as 0; segments: 0
};

struct TableRef {
  uint64_t offset = 0;  // from the beginning of the part
  uint64_t count = 0;   // of entries
};

struct TextRef {
  uint32_t offset = 0;  // within the table of texts
  uint32_t length = 0;
};

// An entry of a part: plain data in which every octet belongs to a field, so that no octet of the
// builder's stack or heap gets into shared memory as padding.
template <typename T>
concept Plain = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

static_assert(Plain<PartHeader> && Plain<TableRef> && Plain<TextRef>);
static_assert(sizeof(PartHeader) == 40);  // as docs/generations.md draws it; so below

uint64_t Magic(PartKind kind);
// The checksum that `part` ought to have; its size must be a multiple of 8 and hold a PartHeader.
uint64_t ChecksumOf(Bytes part);

constexpr size_t Aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// ImageBuilder lays a settings or index part out: a struct that begins with a PartHeader, then
// tables, then texts.
template <Plain Header>
class ImageBuilder {
 public:
  ImageBuilder() : bytes_(Aligned(sizeof(Header))) {}

  template <Plain T>
  TableRef Append(const std::vector<T>& table) {
    static_assert(alignof(T) <= kAlignment);
    const size_t offset = bytes_.size();
    const size_t size = table.size() * sizeof(T);
    bytes_.resize(Aligned(offset + size));
    if (size != 0) std::memcpy(bytes_.data() + offset, table.data(), size);
    return {offset, table.size()};
  }

  // Puts the header in front, filled in, and gives the part's octets away.
  std::vector<std::byte> Finish(Header header, PartKind kind) {
    header.part.magic = Magic(kind);
    header.part.version = kLayoutVersion;
    header.part.size = bytes_.size();
    std::memcpy(bytes_.data(), &header, sizeof header);
    header.part.checksum = ChecksumOf(bytes_);
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

// TextPool collects the texts of an image.
class TextPool {
 public:
  TextRef Add(std::string_view text);
  const std::vector<char>& texts() const { return texts_; }

 private:
  std::vector<char> texts_;
};

// CheckHeader refuses a part that is too short, of another kind or version, of another size than
// it says, or damaged. `checksum`: it must carry one.
Status CheckHeader(Bytes part, PartKind kind, bool checksum);

// TableOf shows a table of `part`; nothing when it does not lie inside or is not aligned.
template <Plain T>
std::optional<std::span<const T>> TableOf(Bytes part, const TableRef& table) {
  if (table.offset > part.size() || table.offset % kAlignment != 0) return std::nullopt;
  if (table.count > (part.size() - table.offset) / sizeof(T)) return std::nullopt;
  return std::span<const T>(reinterpret_cast<const T*>(part.data() + table.offset), table.count);
}

// TextOf shows a text; nothing when it does not lie inside `texts`.
inline std::optional<std::string_view> TextOf(std::span<const char> texts, const TextRef& text) {
  if (text.offset > texts.size() || text.length > texts.size() - text.offset) return std::nullopt;
  return std::string_view(texts.data() + text.offset, text.length);
}

}  // namespace postern::generation
