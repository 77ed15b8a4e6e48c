#include "postern/pki/store.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "postern/pki/certificate.h"
#include "postern/pki/self_signed.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

PairTexts PairFor(const std::string& host) {
  Result<PairTexts> pair = MakeSelfSigned({host}, 30);
  REQUIRE(pair.has_value());
  return std::move(*pair);
}

// What is served as "a"; nothing when it is no whole pair.
std::vector<std::string> Served(const std::string& directory) {
  const StoreNames names = NamesIn(directory, "a");
  const bool has_chain = std::filesystem::exists(names.chain);
  const Result<Pair> pair = LoadPair({.certificate = names.certificate,
                                      .key = names.key,
                                      .chain = has_chain ? names.chain : std::string(),
                                      .place = KeyPlace::kStore});
  if (!pair.has_value()) {
    UNSCOPED_INFO(pair.error().ToString());
    return {};
  }
  return pair->names;
}

mode_t Mode(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("pki: an installed pair is served, and the one before is kept") {
  const TemporaryDirectory temporary;
  const std::string directory = temporary / "certs";
  REQUIRE(InstallPair(directory, "a", PairFor("one.example")).has_value());
  CHECK(Mode(directory) == 0700);
  CHECK(Mode(directory + "/a.key") == 0600);
  CHECK(Mode(directory + "/a.crt") == 0644);
  CHECK(Served(directory) == Names{"one.example"});
  std::ofstream(directory + "/a.ocsp") << "of one";
  REQUIRE(InstallPair(directory, "a", PairFor("two.example")).has_value());
  CHECK(Served(directory) == Names{"two.example"});
  CHECK_FALSE(std::filesystem::exists(directory + "/a.ocsp"));
  REQUIRE(RevertPair(directory, "a").has_value());
  CHECK(Served(directory) == Names{"one.example"});
  CHECK(std::filesystem::exists(directory + "/a.ocsp"));
  REQUIRE(RevertPair(directory, "a").has_value());
  CHECK(Served(directory) == Names{"two.example"});
  CHECK_FALSE(std::filesystem::exists(directory + "/a.ocsp"));
  // Only what was there the last time is what was before.
  REQUIRE(InstallPair(directory, "a", PairFor("three.example")).has_value());
  CHECK_FALSE(std::filesystem::exists(directory + "/a.ocsp.previous"));
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    CHECK(entry.path().extension() != ".import");
  }
}

TEST_CASE("pki: an installation cut off anywhere leaves the old pair or the new one") {
  const size_t steps = InstallSteps("x", "a", PairFor("x.example")).size();
  REQUIRE(steps >= 6);
  for (size_t done = 0; done <= steps; ++done) {
    const TemporaryDirectory directory;
    REQUIRE(InstallPair(directory.path(), "a", PairFor("old.example")).has_value());
    const std::vector<InstallStep> install =
        InstallSteps(directory.path(), "a", PairFor("new.example"));
    for (size_t i = 0; i < done; ++i) REQUIRE(install[i].run().has_value());
    INFO("after " << done << " steps");
    const Names served = Served(directory.path());
    CHECK((served == Names{"old.example"} || served == Names{"new.example"}));
    // Whatever comes next puts it right.
    REQUIRE(InstallPair(directory.path(), "a", PairFor("next.example")).has_value());
    CHECK(Served(directory.path()) == Names{"next.example"});
    REQUIRE(RevertPair(directory.path(), "a").has_value());
    CHECK(Served(directory.path()) == served);
  }
}

TEST_CASE("pki: a reversal cut off anywhere leaves a whole pair, and the next one goes through") {
  const size_t steps = RevertSteps("x", "a").size();
  for (size_t done = 0; done <= steps; ++done) {
    const TemporaryDirectory directory;
    REQUIRE(InstallPair(directory.path(), "a", PairFor("old.example")).has_value());
    REQUIRE(InstallPair(directory.path(), "a", PairFor("new.example")).has_value());
    const std::vector<InstallStep> revert = RevertSteps(directory.path(), "a");
    for (size_t i = 0; i < done; ++i) REQUIRE(revert[i].run().has_value());
    INFO("after " << done << " steps");
    const Names served = Served(directory.path());
    CHECK(served == (done < 2 ? Names{"new.example"} : Names{"old.example"}));
    REQUIRE(RevertPair(directory.path(), "a").has_value());
    CHECK(Served(directory.path()) == (done < 2 ? Names{"old.example"} : Names{"new.example"}));
  }
}

TEST_CASE("pki: without a pair before there is nothing to go back to") {
  const TemporaryDirectory directory;
  REQUIRE(InstallPair(directory.path(), "a", PairFor("one.example")).has_value());
  for (const char* name : {"a", "b"}) {
    const Status reverted = RevertPair(directory.path(), name);
    REQUIRE_FALSE(reverted.has_value());
    CHECK(Says(reverted.error().ToString(), {"there is no pair before", "postern cert list"}));
  }
  CHECK(Served(directory.path()) == Names{"one.example"});
}

TEST_CASE("pki: a directory that others may look into gets no key") {
  const TemporaryDirectory directory;
  for (const mode_t mode : {0755, 0750, 0711, 0701}) {
    REQUIRE(::chmod(directory.path().c_str(), mode) == 0);
    const Status installed = InstallPair(directory.path(), "a", PairFor("one.example"));
    REQUIRE_FALSE(installed.has_value());
    CHECK(Says(installed.error().ToString(), {"open to others", "chmod 700 " + directory.path()}));
  }
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("pki: names of the store") {
  CHECK(StoreNameFor("*.example.com") == "_.example.com");
  CHECK(StoreNameFor("mail.example.com") == "mail.example.com");
  for (const char* name : {"a", "mail.example.com", "_.example.com", "*.example.com", "a-1"}) {
    CHECK(IsStoreName(name));
  }
  for (const char* name : {"", ".", "..", ".a", "a/b", "../a", "a b", "a\n", "m\xc3\xbc"}) {
    CHECK_FALSE(IsStoreName(name));
  }
  CHECK_FALSE(IsStoreName(std::string(250, 'a')));
}

}  // namespace postern::pki
