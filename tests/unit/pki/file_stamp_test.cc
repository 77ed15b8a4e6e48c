#include "postern/pki/file_stamp.h"

#include <unistd.h>

#include <ctime>
#include <fstream>

#include "tests/unit/os/temporary_directory.h"

namespace postern::pki {
namespace {

struct stat StatusChanged(time_t seconds_ago) {
  struct stat status {};
  status.st_dev = 1;
  status.st_ino = 2;
  status.st_size = 3;
  status.st_mtim.tv_sec = status.st_ctim.tv_sec = std::time(nullptr) - seconds_ago;
  return status;
}

}  // namespace

TEST_CASE("pki: a stamp tells a changed file by any of its facts") {
  const struct stat status = StatusChanged(60);
  const FileStamp stamp = MakeStamp(status);
  CHECK(stamp.SameFile(MakeStamp(status)));
  const auto differs = [&](auto change) {
    struct stat other = status;
    change(other);
    return !stamp.SameFile(MakeStamp(other));
  };
  CHECK(differs([](struct stat& s) { s.st_dev = 9; }));
  CHECK(differs([](struct stat& s) { s.st_ino = 9; }));
  CHECK(differs([](struct stat& s) { s.st_size = 9; }));
  CHECK(differs([](struct stat& s) { s.st_mtim.tv_nsec = 9; }));
  CHECK(differs([](struct stat& s) { s.st_ctim.tv_nsec = 9; }));
}

TEST_CASE("pki: a stamp taken right after a change proves nothing") {
  const struct stat fresh = StatusChanged(0);
  CHECK_FALSE(MakeStamp(fresh).SameFile(MakeStamp(fresh)));
  const struct stat future = StatusChanged(-3600);  // a clock that was set back
  CHECK_FALSE(MakeStamp(future).SameFile(MakeStamp(future)));
}

TEST_CASE("pki: stamps are of the file behind a link") {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "content";
  REQUIRE(::symlink("file", (directory / "link").c_str()) == 0);
  const Result<FileStamp> file = StampOf(directory / "file");
  const Result<FileStamp> link = StampOf(directory / "link");
  REQUIRE(file.has_value());
  REQUIRE(link.has_value());
  CHECK(file->inode == link->inode);
  CHECK(file->size == 7);
  CHECK_FALSE(StampOf(directory / "missing").has_value());
}

}  // namespace postern::pki
