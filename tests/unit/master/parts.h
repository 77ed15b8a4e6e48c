// Parts and generations for tests: real sealed memory with content that nobody reads.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "postern/generation/compile.h"
#include "postern/generation/part.h"
#include "postern/os/sealed_memory.h"
#include "tests/unit/catch.h"

namespace postern::master {

inline generation::PartPtr MakePart(generation::PartId id, generation::PartKind kind) {
  if (kind == generation::PartKind::kKeys) {
    auto secret = os::MakeSecret("test-part", AsBytes("key"));
    REQUIRE(secret);
    return std::make_shared<generation::Part>(id, kind, std::move(secret->fd), 3,
                                              std::move(secret->writable));
  }
  auto fd = os::MakeSealed("test-part", AsBytes("text"));
  REQUIRE(fd);
  return std::make_shared<generation::Part>(id, kind, std::move(*fd), 4, os::Mapping());
}

// A generation with settings and index of its own (ids 10 * number + 1, + 2) and `segments`.
inline generation::GenerationPtr MakeGeneration(
    uint64_t number, std::vector<generation::PartPtr> segments = {},
    std::vector<generation::ListenSocket> sockets = {}) {
  auto generation = std::make_shared<generation::Generation>();
  generation->number = number;
  generation->parts = {MakePart(10 * number + 1, generation::PartKind::kSettings),
                       MakePart(10 * number + 2, generation::PartKind::kIndex)};
  generation->parts.insert(generation->parts.end(), segments.begin(), segments.end());
  generation->sockets = std::move(sockets);
  generation->certificates = 1;
  return generation;
}

}  // namespace postern::master
