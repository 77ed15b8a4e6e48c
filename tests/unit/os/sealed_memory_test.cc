#include "postern/os/sealed_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "tests/unit/catch.h"

namespace postern::os {

TEST_CASE("sealed_memory: what is sealed reads back and cannot change") {
  const auto fd = MakeSealed("test", AsBytes("content"));
  REQUIRE(fd);
  CHECK(HasSeals(fd->get(), false));
  CHECK(HasSeals(fd->get(), true));
  const auto mapping = MapFd(fd->get(), MapMode::kReadOnly);
  REQUIRE(mapping);
  CHECK(AsText(mapping->bytes()) == "content");
  CHECK(::pwrite(fd->get(), "x", 1, 0) == -1);
  CHECK(::ftruncate(fd->get(), 1) == -1);
  CHECK_FALSE(MapFd(fd->get(), MapMode::kShared));
}

TEST_CASE("sealed_memory: a secret has one writable mapping, which wipes it for all") {
  auto secret = MakeSecret("test", AsBytes("key"));
  REQUIRE(secret);
  CHECK(HasSeals(secret->fd.get(), true));
  CHECK_FALSE(HasSeals(secret->fd.get(), false));
  CHECK_FALSE(MapFd(secret->fd.get(), MapMode::kShared));
  CHECK(::pwrite(secret->fd.get(), "x", 1, 0) == -1);
  auto reader = MapFd(secret->fd.get(), MapMode::kReadOnly);
  REQUIRE(reader);
  CHECK(AsText(reader->bytes()) == "key");
  // As far as the limit of this machine allows.
  [[maybe_unused]] const Status locked = reader->LockSecrets();

  secret->writable.Wipe();
  CHECK(AsText(reader->bytes()) == std::string_view("\0\0\0", 3));
}

TEST_CASE("sealed_memory: shared memory is zeroed, writable, and of fixed size") {
  const auto fd = MakeShared("test", 4096);
  REQUIRE(fd);
  CHECK_FALSE(HasSeals(fd->get(), false));
  auto writer = MapFd(fd->get(), MapMode::kShared);
  const auto reader = MapFd(fd->get(), MapMode::kReadOnly);
  REQUIRE(writer);
  REQUIRE(reader);
  CHECK(reader->size() == 4096);
  CHECK(reader->bytes()[17] == std::byte{0});
  writer->mutable_bytes()[17] = std::byte{9};
  CHECK(reader->bytes()[17] == std::byte{9});
  CHECK(::ftruncate(fd->get(), 0) == -1);
}

TEST_CASE("sealed_memory: what is unsealed, empty or no memory is told apart") {
  const UniqueFd plain(::memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK_FALSE(HasSeals(plain.get(), true));
  CHECK_FALSE(MapFd(plain.get(), MapMode::kReadOnly));
  CHECK_FALSE(HasSeals(-1, true));
  CHECK_FALSE(MapFd(-1, MapMode::kReadOnly));
}

TEST_CASE("sealed_memory: a mapping moves") {
  const auto fd = MakeSealed("test", AsBytes("content"));
  REQUIRE(fd);
  auto a = MapFd(fd->get(), MapMode::kReadOnly);
  REQUIRE(a);
  Mapping b = std::move(*a);
  CHECK_FALSE(a->valid());
  Mapping c;
  c = std::move(b);
  CHECK_FALSE(b.valid());
  CHECK(AsText(c.bytes()) == "content");
}

}  // namespace postern::os
