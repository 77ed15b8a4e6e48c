#include "master/master_process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "postern/os/clock.h"
#include "postern/os/files.h"
#include "tests/unit/catch.h"
#include "tests/unit/master/fake_workers.h"
#include "tests/unit/master/parts.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::master {
namespace {

// A whole master in this process, with fake workers. What the test does to it from outside runs on
// a thread of its own, since Run holds the test's.
struct Whole {
  Whole() {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &signals_before);
    GlobalLogging().least = LogLevel::kError;
    config.process.workers = 2;
    config.process.pid_file = directory / "run/pid";
    config.process.control_socket = directory / "run/control";
    config.log.destination = config::LogDestination::kFile;
    config.log.file = directory / "log";
    config.drain_timeout_ms = 100;
  }
  ~Whole() {
    master.reset();
    ::pthread_sigmask(SIG_SETMASK, &signals_before, nullptr);
    GlobalLogging() = Logging();
  }

  bool Create() {
    MasterOptions options;
    options.config_path = "/etc/test.toml";
    options.load = [this](const LoadRequest& request) -> LoadOutcome {
      return LoadedGeneration{config, MakeGeneration(request.number), {}};
    };
    options.spawn = [this](uint32_t id, int channel) { return SpawnFake(behaviours, id, channel); };
    master = MasterProcess::Create(std::move(options), {config, MakeGeneration(1), {}}, faults);
    return master != nullptr;
  }

  // Runs the master while `outside` happens.
  Status Run(const std::function<void()>& outside) {
    std::thread other(outside);
    Status status = master->Run();
    other.join();
    return status;
  }

  Result<admin::Reply> Ask(const std::string& request) const {
    return admin::Ask(config.process.control_socket, request, 30'000);
  }
  void AwaitServing() const {
    const uint64_t deadline = os::MonotonicMs() + 30'000;
    while (os::MonotonicMs() < deadline) {
      const auto reply = Ask("status");
      if (reply && reply->text.find(" is serving,") != std::string::npos) return;
    }
  }
  std::string LogText() const { return os::ReadFile(config.log.file).value_or(""); }

  TemporaryDirectory directory;
  sigset_t signals_before;
  Behaviours behaviours;
  config::Config config;
  std::vector<Error> faults;
  std::unique_ptr<MasterProcess> master;
};

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("master: serves, tells, reloads and drains over its control socket") {
  Whole whole;
  REQUIRE(whole.Create());
  CHECK(Has(os::ReadFile(whole.config.process.pid_file).value_or(""), std::to_string(::getpid())));
  Result<admin::Reply> status = Fail("");
  Result<admin::Reply> json = Fail("");
  Result<admin::Reply> reload = Fail("");
  Result<admin::Reply> unknown = Fail("");
  Result<admin::Reply> stop = Fail("");
  CHECK(whole.Run([&] {
    whole.AwaitServing();
    status = whole.Ask("status");
    reload = whole.Ask("reload");
    json = whole.Ask("status json");
    unknown = whole.Ask("no-such-thing");
    stop = whole.Ask("stop");
  }));
  REQUIRE(status);
  CHECK(Has(status->text, "generation 1"));
  CHECK(Has(status->text, "/etc/test.toml"));
  REQUIRE(reload);
  CHECK(reload->ok);
  REQUIRE(json);
  CHECK(Has(json->text, "\"generation\":2"));
  REQUIRE(unknown);
  CHECK_FALSE(unknown->ok);
  CHECK(Has(unknown->text, "reload"));
  REQUIRE(stop);
  CHECK(stop->ok);
  const std::string log = whole.LogText();
  CHECK(Has(log, "event=serving"));
  CHECK(Has(log, "event=draining"));
  CHECK(Has(log, "event=stopped"));
  whole.master.reset();
  CHECK_FALSE(std::filesystem::exists(whole.config.process.pid_file));
  CHECK_FALSE(std::filesystem::exists(whole.config.process.control_socket));
}

TEST_CASE("master: a reload asked for during the start is done after it") {
  Whole whole;
  REQUIRE(whole.Create());
  Result<admin::Reply> reload = Fail("");
  Result<admin::Reply> stop = Fail("");
  CHECK(whole.Run([&] {
    reload = whole.Ask("reload");
    stop = whole.Ask("stop now");
  }));
  CHECK(stop);
  REQUIRE(reload);
  CHECK(reload->ok);
  CHECK(Has(reload->text, "generation 2 serves"));
}

TEST_CASE("master: obeys its signals") {
  Whole whole;
  whole.behaviours = {{0, "stubborn"}};
  REQUIRE(whole.Create());
  std::string rotated;
  CHECK(whole.Run([&] {
    whole.AwaitServing();
    ::kill(::getpid(), SIGUSR2);  // without a program to start
    std::filesystem::rename(whole.config.log.file, whole.config.log.file + ".1");
    ::kill(::getpid(), SIGUSR1);
    ::kill(::getpid(), SIGHUP);
    const uint64_t deadline = os::MonotonicMs() + 30'000;
    while (!Has(whole.LogText(), "event=reloaded") && os::MonotonicMs() < deadline) {
      std::this_thread::yield();
    }
    ::kill(::getpid(), SIGTERM);
    while (!Has(whole.LogText(), "event=draining") && os::MonotonicMs() < deadline) {
      std::this_thread::yield();
    }
    ::kill(::getpid(), SIGTERM);  // the stubborn worker would hold the drain up
  }));
  const std::string log = whole.LogText();
  CHECK(Has(log, "event=\"log reopened\""));
  CHECK(Has(log, "event=reloaded"));
  CHECK(Has(log, "event=\"ending at once\" by=\"a second SIGTERM\""));
  CHECK(Has(log, "event=\"workers killed\""));
  CHECK(Has(log, "event=stopped"));
}

TEST_CASE("master: an upgrade whose program cannot be started changes nothing") {
  Whole whole;
  REQUIRE(whole.Create());
  Result<admin::Reply> none = Fail("");
  CHECK(whole.Run([&] {
    whole.AwaitServing();
    none = whole.Ask("upgrade");
    ::kill(::getpid(), SIGTERM);
  }));
  REQUIRE(none);
  CHECK_FALSE(none->ok);
  CHECK(Has(none->text, "cannot start another"));
  CHECK(Has(whole.LogText(), "event=\"upgrade not begun\""));
}

TEST_CASE("master: a start that workers refuse ends with their reason and leaves nothing behind") {
  Whole whole;
  whole.behaviours = {{1, "refuse-start"}};
  REQUIRE(whole.Create());
  const Status ended = whole.Run([] {});
  REQUIRE_FALSE(ended);
  CHECK(ended.error().what == "worker 1 refuses: no ring to be had");
  whole.master.reset();
  CHECK_FALSE(std::filesystem::exists(whole.config.process.pid_file));
  CHECK_FALSE(std::filesystem::exists(whole.config.process.control_socket));
}

TEST_CASE("master: what a start fails on is reported together, and leaves nothing behind") {
  Whole whole;
  whole.config.process.user = "no-such-user";
  whole.config.log.file = whole.directory / "missing/log";
  CHECK_FALSE(whole.Create());
  REQUIRE(whole.faults.size() == 2);
  CHECK(Has(whole.faults[0].what + whole.faults[0].remedy, "user"));
  CHECK(Has(whole.faults[1].what, "missing/log"));
  CHECK_FALSE(std::filesystem::exists(whole.config.process.pid_file));
}

TEST_CASE("master: a second one on the same pid file is kept out") {
  Whole whole;
  REQUIRE(whole.Create());
  const auto first = std::move(whole.master);
  CHECK_FALSE(whole.Create());
  REQUIRE(whole.faults.size() == 1);
  CHECK(Has(whole.faults[0].what, "holds it"));
  CHECK(std::filesystem::exists(whole.config.process.control_socket));
}

}  // namespace postern::master
