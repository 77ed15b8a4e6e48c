// The header of parts. Settings and index carry a checksum: memory does not rot often, but when
// it does, a refused reload is better than a wrong certificate. It guards against accidents only,
// so every reference is checked besides. Segments carry none, because a worker would have to read
// all certificates at every reload to verify it; libcrypto decodes each one before its use.
#include "generation/image.h"

#include <fmt/format.h>

#include <limits>

#include "postern/base/check.h"

namespace postern::generation {
namespace {

constexpr uint64_t MagicOf(const char (&text)[9]) {
  uint64_t magic = 0;
  for (int i = 7; i >= 0; --i) magic = magic << 8 | static_cast<unsigned char>(text[i]);
  return magic;
}

}  // namespace

uint64_t Magic(PartKind kind) {
  switch (kind) {
    case PartKind::kSettings:
      return MagicOf("PSTNsett");
    case PartKind::kIndex:
      return MagicOf("PSTNindx");
    case PartKind::kCertificates:
      return MagicOf("PSTNcert");
    case PartKind::kKeys:
      return MagicOf("PSTNkeys");
  }
  return 0;
}

uint64_t ChecksumOf(Bytes part) {
  POSTERN_CHECK(part.size() % 8 == 0 && part.size() >= sizeof(PartHeader));
  // Each step is a bijection of the state for a given word and of the word for a given state, so
  // one changed word always changes the result.
  uint64_t sum = part.size();
  for (size_t at = 0; at < part.size(); at += 8) {
    uint64_t word = 0;
    if (at != offsetof(PartHeader, checksum)) std::memcpy(&word, part.data() + at, 8);
    sum = (sum ^ word) * 0x9E3779B97F4A7C15ULL;
    sum ^= sum >> 32;
  }
  return sum;
}

TextRef TextPool::Add(std::string_view text) {
  POSTERN_CHECK(text.size() <= std::numeric_limits<uint32_t>::max() - texts_.size());
  const TextRef ref{static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size())};
  texts_.insert(texts_.end(), text.begin(), text.end());
  return ref;
}

Status CheckHeader(Bytes part, PartKind kind, bool checksum) {
  const auto refuse = [&](std::string_view why) {
    return Fail(fmt::format("the {} part of the generation is refused: {}", ToString(kind), why));
  };
  if (part.size() < sizeof(PartHeader)) return refuse("it is too short");
  PartHeader header;
  std::memcpy(&header, part.data(), sizeof header);
  if (header.magic != Magic(kind)) return refuse("it is something else");
  if (header.version != kLayoutVersion) {
    return refuse(fmt::format("its layout is version {}, not {}", header.version, kLayoutVersion));
  }
  if (header.size != part.size() || part.size() % kAlignment != 0)
    return refuse("its size is wrong");
  if (header.reserved != 0) return refuse("its header is damaged");
  if (checksum ? header.checksum != ChecksumOf(part) : header.checksum != 0) {
    return refuse("its checksum is wrong");
  }
  return {};
}

}  // namespace postern::generation
