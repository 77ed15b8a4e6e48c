#include "master/watch_plan.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::master {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

// Replaces a link at once, as `ln -sfn` and mv do.
void Turn(const std::string& link, const std::string& target) {
  fs::create_symlink(target, link + ".new");
  fs::rename(link + ".new", link);
}

config::Config Naming(const std::string& certificate) {
  config::Config config;
  config.certificates.pairs.push_back({"x", certificate, certificate + ".key", {}});
  return config;
}

bool Concerns(const WatchPlan& plan, const std::string& directory, const std::string& name) {
  const auto found = plan.directories.find(directory);
  return found != plan.directories.end() && found->second.Concerns(name);
}

}  // namespace

TEST_CASE("watch plan: a certificate directory concerns whatever belongs to pairs", "[watch]") {
  const TemporaryDirectory directory;
  config::Config config;
  config.certificates.directory = directory.path();
  const WatchPlan before = MakeWatchPlan(config);
  for (const char* name : {"a.crt", "a.key", "a.chain", "a.ocsp"}) {
    CHECK(Concerns(before, directory.path(), name));
  }
  for (const char* name : {".a.crt", "a.crt.previous", "a.csr", "a.key.new"}) {
    CHECK_FALSE(Concerns(before, directory.path(), name));
  }
  CHECK(before.directories.at(directory.path()).has_files);
  Write(directory / "a.txt", "");
  CHECK(MakeWatchPlan(config).state == before.state);
  Write(directory / "a.crt", "");
  const uint64_t with = MakeWatchPlan(config).state;
  CHECK(with != before.state);
  CHECK(MakeWatchPlan(config).state == with);
  Write(directory / "a.crt", "more");
  CHECK(MakeWatchPlan(config).state != with);
}

TEST_CASE("watch plan: links are followed, and each place where one could be turned is watched",
          "[watch]") {
  const TemporaryDirectory directory;
  // As certbot lays it out.
  fs::create_directories(directory / "live/x");
  fs::create_directories(directory / "archive/x");
  Write(directory / "archive/x/fullchain1.pem", "1");
  Write(directory / "archive/x/fullchain2.pem", "2");
  fs::create_symlink("../../archive/x/fullchain1.pem", directory / "live/x/fullchain.pem");
  const config::Config config = Naming(directory / "live/x/fullchain.pem");
  const WatchPlan plan = MakeWatchPlan(config);
  CHECK(Concerns(plan, directory / "live/x", "fullchain.pem"));
  CHECK(Concerns(plan, directory / "archive/x", "fullchain1.pem"));
  CHECK_FALSE(Concerns(plan, directory / "archive/x", "fullchain2.pem"));
  CHECK(plan.directories.at(directory / "archive/x").has_files);
  // The way there.
  CHECK(Concerns(plan, directory / "live", "x"));
  CHECK(Concerns(plan, directory.path(), "archive"));
  CHECK_FALSE(plan.directories.at(directory / "live").has_files);
  Turn(directory / "live/x/fullchain.pem", "../../archive/x/fullchain2.pem");
  const WatchPlan turned = MakeWatchPlan(config);
  CHECK(turned.state != plan.state);
  CHECK(Concerns(turned, directory / "archive/x", "fullchain2.pem"));
}

TEST_CASE("watch plan: a directory behind a link is watched where it is", "[watch]") {
  const TemporaryDirectory directory;
  fs::create_directories(directory / "one");
  fs::create_directories(directory / "two");
  Write(directory / "one/tls.crt", "1");
  Write(directory / "two/tls.crt", "2");
  fs::create_symlink("one", directory / "now");
  const config::Config config = Naming(directory / "now/tls.crt");
  const WatchPlan plan = MakeWatchPlan(config);
  CHECK(Concerns(plan, directory.path(), "now"));
  CHECK(Concerns(plan, directory / "one", "tls.crt"));
  CHECK_FALSE(plan.directories.contains(directory / "now"));
  Turn(directory / "now", "two");
  CHECK(MakeWatchPlan(config).state != plan.state);
}

TEST_CASE("watch plan: what is not there yet is awaited where it would appear", "[watch]") {
  const TemporaryDirectory directory;
  const config::Config config = Naming(directory / "later/deep/x.crt");
  const WatchPlan plan = MakeWatchPlan(config);
  CHECK(Concerns(plan, directory.path(), "later"));
  fs::create_directories(directory / "later/deep");
  const WatchPlan then = MakeWatchPlan(config);
  CHECK(then.state != plan.state);
  CHECK(Concerns(then, directory / "later/deep", "x.crt"));
}

TEST_CASE("watch plan: links that lead in a circle end", "[watch]") {
  const TemporaryDirectory directory;
  fs::create_symlink("b", directory / "a");
  fs::create_symlink("a", directory / "b");
  CHECK(Concerns(MakeWatchPlan(Naming(directory / "a")), directory.path(), "b"));
  CHECK(Concerns(MakeWatchPlan(Naming(directory / "a/x")), directory.path(), "b"));
}

TEST_CASE("watch plan: authorities of clients are watched where clients are asked", "[watch]") {
  const TemporaryDirectory directory;
  config::Config config;
  config::Listener listener;
  listener.clients.ca = directory / "ca.pem";
  listener.clients.crls = {directory / "crl.pem"};
  config.listeners.push_back(listener);
  CHECK_FALSE(Concerns(MakeWatchPlan(config), directory.path(), "ca.pem"));
  config.listeners[0].clients.mode = config::ClientMode::kRequired;
  CHECK(Concerns(MakeWatchPlan(config), directory.path(), "ca.pem"));
  CHECK(Concerns(MakeWatchPlan(config), directory.path(), "crl.pem"));
}

}  // namespace postern::master
