// What fuzzing a checksummed image needs: without a right header nothing behind it is ever looked
// at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "generation/image.h"
#include "postern/base/check.h"
#include "postern/os/sealed_memory.h"

namespace postern::fuzz {

// MakePart makes a sealed part of `kind` from `data`, with size, magic and checksum put right.
inline os::UniqueFd MakePart(generation::PartKind kind, std::span<const uint8_t> data) {
  const size_t least = generation::Aligned(sizeof(generation::PartHeader));
  std::vector<std::byte> image(std::max(least, generation::Aligned(data.size())));
  if (!data.empty()) std::memcpy(image.data(), data.data(), data.size());
  generation::PartHeader header;
  std::memcpy(&header, image.data(), sizeof header);
  header.magic = generation::Magic(kind);
  header.version = generation::kLayoutVersion;
  header.size = image.size();
  std::memcpy(image.data(), &header, sizeof header);
  header.checksum = generation::ChecksumOf(image);
  std::memcpy(image.data(), &header, sizeof header);
  auto fd = os::MakeSealed("fuzz", image);
  POSTERN_CHECK(fd.has_value());
  return std::move(*fd);
}

}  // namespace postern::fuzz
