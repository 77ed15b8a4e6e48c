#include "master/loader.h"

#include <poll.h>

#include <future>
#include <new>
#include <thread>

#include "tests/unit/catch.h"
#include "tests/unit/master/parts.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::master {
namespace {

LoadOutcome Nothing() { return std::unexpected(std::vector{WithoutMemory()}); }

LoadOutcome Outcome(uint64_t number) {
  return LoadedGeneration{config::Config(), MakeGeneration(number), {}};
}

bool Readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, 30'000) == 1;
}

}  // namespace

TEST_CASE("loader: works beside us and reports by its descriptor") {
  auto loader = Loader::Create();
  REQUIRE(loader);
  std::promise<void> go;
  REQUIRE(loader->Start(
      [wait = go.get_future().share()] {
        wait.wait();
        return Outcome(7);
      },
      Nothing));
  CHECK(loader->busy());
  CHECK_FALSE(loader->Take().has_value());
  go.set_value();
  REQUIRE(Readable(loader->fd()));
  const auto outcome = loader->Take();
  REQUIRE(outcome.has_value());
  REQUIRE(outcome->has_value());
  CHECK((*outcome)->generation->number == 7);
  CHECK_FALSE(loader->busy());
  CHECK_FALSE(loader->Take().has_value());

  REQUIRE(loader->Start([]() -> LoadOutcome { return std::unexpected(std::vector<Error>(2)); },
                        Nothing));
  REQUIRE(Readable(loader->fd()));
  const auto failed = loader->Take();
  REQUIRE(failed.has_value());
  REQUIRE_FALSE(failed->has_value());
  CHECK(failed->error().size() == 2);
}

TEST_CASE("loader: without memory there is another outcome, and all goes on") {
  auto loader = Loader::Create();
  REQUIRE(loader);
  REQUIRE(loader->Start([]() -> LoadOutcome { throw std::bad_alloc(); }, Nothing));
  REQUIRE(Readable(loader->fd()));
  const auto outcome = loader->Take();
  REQUIRE(outcome.has_value());
  REQUIRE_FALSE(outcome->has_value());
  CHECK(outcome->error().front().what.find("not enough memory") != std::string::npos);
  CHECK_FALSE(loader->busy());
  REQUIRE(loader->Start([] { return Outcome(2); }, Nothing));
  REQUIRE(Readable(loader->fd()));
  CHECK(loader->Take()->has_value());
}

TEST_CASE("loader: may be destroyed while its thread works") {
  std::promise<void> go;
  std::promise<void> done;
  {
    auto loader = Loader::Create();
    REQUIRE(loader);
    REQUIRE(loader->Start(
        [wait = go.get_future().share(), &done] {
          wait.wait();
          LoadOutcome outcome = Outcome(1);
          done.set_value();
          return outcome;
        },
        Nothing));
  }
  go.set_value();
  done.get_future().wait();
}

TEST_CASE("loader: faults of the configuration come through") {
  const TemporaryDirectory directory;
  const LoadOutcome missing = LoadGeneration(directory / "none.toml", {nullptr, 1});
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().front().ToString().find("none.toml") != std::string::npos);
}

}  // namespace postern::master
