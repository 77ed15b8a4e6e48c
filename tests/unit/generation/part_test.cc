#include "postern/generation/part.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>

#include "generation/sources.h"
#include "tests/unit/generation/images.h"
#include "tests/unit/generation/site.h"

namespace postern::generation {
namespace {

bool AllZero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte octet) { return octet == std::byte{}; });
}

}  // namespace

TEST_CASE("part: keys are wiped when the last holder lets go") {
  Site site;
  site.Pair("default", "mail.example.com");
  GenerationPtr generation = site.Compile();
  PartPtr keys = generation->parts.at(3);
  REQUIRE(keys->kind() == PartKind::kKeys);
  // A worker that still has it mapped.
  Result<os::Mapping> mapping = os::MapFd(keys->fd(), os::MapMode::kReadOnly);
  REQUIRE(mapping.has_value());
  const Mapped worker = MapGeneration(*generation);
  const Bytes key = worker.index->Get(0).key_der;
  REQUIRE_FALSE(AllZero(key));

  keys.reset();
  CHECK_FALSE(AllZero(mapping->bytes()));  // the generation holds it
  generation.reset();
  CHECK(AllZero(mapping->bytes()));
  CHECK(AllZero(key));
}

TEST_CASE("part: a generation that shares a part keeps its keys from being wiped") {
  Site site;
  site.Pair("default", "mail.example.com");
  GenerationPtr first = site.Compile();
  const GenerationPtr second = site.Compile(first);
  first.reset();
  const Mapped mapped = MapGeneration(*second);
  CHECK_FALSE(AllZero(mapped.index->Get(0).key_der));
}

TEST_CASE("part: nobody can change one") {
  Site site;
  site.Pair("default", "mail.example.com");
  const GenerationPtr generation = site.Compile();
  REQUIRE(generation->parts.size() == 4);
  for (const PartPtr& part : generation->parts) {
    CAPTURE(ToString(part->kind()));
    CHECK(os::HasSeals(part->fd(), part->kind() == PartKind::kKeys));
    CHECK(::pwrite(part->fd(), "x", 1, 0) == -1);
    CHECK(::ftruncate(part->fd(), 0) == -1);
    CHECK(::ftruncate(part->fd(), 1 << 20) == -1);
    void* writable =
        ::mmap(nullptr, part->size(), PROT_READ | PROT_WRITE, MAP_SHARED, part->fd(), 0);
    CHECK(writable == MAP_FAILED);
    void* readable = ::mmap(nullptr, part->size(), PROT_READ, MAP_SHARED, part->fd(), 0);
    REQUIRE(readable != MAP_FAILED);
    CHECK(::mprotect(readable, part->size(), PROT_READ | PROT_WRITE) == -1);
    ::munmap(readable, part->size());
    CHECK((::fcntl(part->fd(), F_GET_SEALS) & F_SEAL_SEAL) != 0);
  }
}

TEST_CASE("part: ids and identities are given once") {
  const PartId id = NextPartId();
  CHECK(NextPartId() > id);
  const uint64_t identity = NextIdentity();
  CHECK(NextIdentity() > identity);
}

}  // namespace postern::generation
