#include "postern/os/file_events.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::os {
namespace {

using Kind = FileEvent::Kind;

bool Tells(const std::vector<FileEvent>& events, Kind kind, int watch, const std::string& name) {
  return std::ranges::any_of(events, [&](const FileEvent& event) {
    return event.kind == kind && event.watch == watch && event.name == name;
  });
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("file events: what happens to the entries of a directory is told", "[os]") {
  const TemporaryDirectory directory;
  auto events = MakeFileEvents();
  REQUIRE(events);
  const auto watch = (*events)->Watch(directory.path(), true);
  REQUIRE(watch);
  CHECK((*events)->Take().empty());
  Write(directory / "a", "1");
  pollfd ready{(*events)->fd(), POLLIN, 0};
  CHECK(::poll(&ready, 1, 0) == 1);
  CHECK(Tells((*events)->Take(), Kind::kChanged, *watch, "a"));
  std::filesystem::rename(directory / "a", directory / "b");
  const std::vector<FileEvent> renamed = (*events)->Take();
  CHECK(Tells(renamed, Kind::kChanged, *watch, "a"));
  CHECK(Tells(renamed, Kind::kChanged, *watch, "b"));
  std::filesystem::permissions(directory / "b", std::filesystem::perms::owner_read);
  CHECK(Tells((*events)->Take(), Kind::kChanged, *watch, "b"));
  std::filesystem::remove(directory / "b");
  CHECK(Tells((*events)->Take(), Kind::kChanged, *watch, "b"));
}

TEST_CASE("file events: without content only the coming and going is told", "[os]") {
  const TemporaryDirectory directory;
  Write(directory / "a", "1");
  auto events = MakeFileEvents();
  REQUIRE(events);
  const auto watch = (*events)->Watch(directory.path(), false);
  REQUIRE(watch);
  Write(directory / "a", "2");
  CHECK((*events)->Take().empty());
  // The same directory again keeps its number, and what it was watched for.
  CHECK((*events)->Watch(directory.path() + "/.", true) == watch);
  Write(directory / "a", "3");
  CHECK(Tells((*events)->Take(), Kind::kChanged, *watch, "a"));
  (*events)->Forget(*watch);
  (*events)->Take();
  Write(directory / "a", "4");
  CHECK((*events)->Take().empty());
}

TEST_CASE("file events: a directory that goes says so, one that is not there is an error", "[os]") {
  const TemporaryDirectory directory;
  const std::string inner = directory / "inner";
  std::filesystem::create_directory(inner);
  auto events = MakeFileEvents();
  REQUIRE(events);
  const auto watch = (*events)->Watch(inner, true);
  REQUIRE(watch);
  std::filesystem::rename(inner, directory / "other");
  CHECK(Tells((*events)->Take(), Kind::kGone, *watch, ""));
  CHECK((*events)->Watch(inner, true).error() == ENOENT);
  Write(directory / "file", "");
  CHECK((*events)->Watch(directory / "file", true).error() == ENOTDIR);
}

}  // namespace postern::os
