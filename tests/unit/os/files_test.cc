#include "postern/os/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

struct Umask {
  explicit Umask(mode_t mask) : before(::umask(mask)) {}
  ~Umask() { ::umask(before); }
  mode_t before;
};

}  // namespace

TEST_CASE("files: written whole with the mode asked for, and read back") {
  const TemporaryDirectory directory;
  const Umask umask(077);
  const std::string path = directory / "file";
  REQUIRE(WriteFileAtomically(path, "first", 0600));
  REQUIRE(WriteFileAtomically(path, "second", 0644));
  CHECK(ModeOf(path) == 0644);
  CHECK(ReadFile(path) == "second");
  // Nothing temporary stays.
  const std::filesystem::directory_iterator entries(directory.path());
  CHECK(std::distance(begin(entries), end(entries)) == 1);
}

TEST_CASE("files: each failure names the file") {
  const TemporaryDirectory directory;
  std::ofstream(directory / "large") << "12345";
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  struct Case {
    const char* name;
    const char* why;
  };
  for (const Case& c : {Case{"none", "No such file"}, Case{"", "directory"},
                        Case{"fifo", "no regular file"}, Case{"large", "larger than 4"}}) {
    CAPTURE(c.name);
    const std::string path = directory / c.name;
    const auto read = ReadFile(path, 4);
    REQUIRE_FALSE(read);
    CHECK(read.error().what.find(path) != std::string::npos);
    CHECK(read.error().what.find(c.why) != std::string::npos);
  }
  CHECK(ReadFile(directory / "large", 5) == "12345");
  CHECK_FALSE(WriteFileAtomically(directory / "missing/file", "", 0600));
}

TEST_CASE("files: directories are made as far as they are missing") {
  const TemporaryDirectory directory;
  const Umask umask(077);
  const std::string path = directory / "a/b/c";
  REQUIRE(MakeDirectories(path, 0750));
  CHECK(ModeOf(path) == 0750);
  // One that is there keeps its mode.
  REQUIRE(MakeDirectories(path, 0700));
  CHECK(ModeOf(path) == 0750);
  std::ofstream(directory / "file") << "";
  CHECK_FALSE(MakeDirectories(directory / "file", 0700));
  CHECK_FALSE(MakeDirectories(directory / "file/below", 0700));
}

TEST_CASE("files: a log file is made for its group to read and appended to") {
  const TemporaryDirectory directory;
  const Umask umask(077);
  const std::string path = directory / "log";
  for (const char* line : {"one\n", "two\n"}) {
    const auto fd = OpenForAppend(path);
    REQUIRE(fd);
    REQUIRE(::write(fd->get(), line, 4) == 4);
  }
  CHECK(ModeOf(path) == 0640);
  CHECK(ReadFile(path) == "one\ntwo\n");
  // A mode that the administrator chose stays.
  ::chmod(path.c_str(), 0600);
  CHECK(OpenForAppend(path));
  CHECK(ModeOf(path) == 0600);
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  CHECK_FALSE(OpenForAppend(directory / "fifo"));
  CHECK_FALSE(OpenForAppend(directory / "missing/log"));
}

}  // namespace postern::os
