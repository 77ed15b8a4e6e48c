#include "master/reloader.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <new>

#include "postern/os/clock.h"
#include "tests/unit/catch.h"
#include "tests/unit/master/fake_workers.h"
#include "tests/unit/master/parts.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::master {
namespace {

// A running master with fake workers, whose configuration "file" is the function `load`.
struct Running {
  explicit Running(Behaviours told = {}) : behaviours(std::move(told)) {
    GlobalLogging().least = LogLevel::kError;
    GlobalLogging().sink = &silence;
    auto made = Rollout::Create();
    REQUIRE(made);
    rollout = std::move(*made);
    SupervisorOptions options;
    options.workers = 2;
    options.control_page_fd = rollout->control_page_fd();
    options.ticket_keys_fd = rollout->control_page_fd();
    options.addresses_fd = rollout->control_page_fd();
    options.session_ids_fd = rollout->control_page_fd();
    options.spawn = [this](uint32_t id, int channel) { return SpawnFake(behaviours, id, channel); };
    options.log = [this] { return log.ForWorkers(); };
    auto supervised = Supervisor::Create(std::move(options), *rollout);
    REQUIRE(supervised);
    supervisor = std::move(*supervised);
    rollout->set_supervisor(supervisor.get());
    auto reloading = Reloader::Create(
        std::make_shared<const config::Config>(Configuration()), 2, *rollout, log,
        [this](const LoadRequest& request) { return Load(request); },
        [this](const ConfigPtr& config, const LoadedGeneration&, std::optional<LogTarget> target) {
          adopted.push_back(*config);
          if (target) log.Use(std::move(*target));
        });
    REQUIRE(reloading);
    reloader = std::move(*reloading);
    Start();
  }
  ~Running() {
    const std::lock_guard lock(gate);  // no load is under way any more
    supervisor.reset();
    GlobalLogging() = Logging();
  }

  static config::Config Configuration() {
    config::Config config;
    config.process.workers = 2;
    config.prepare_timeout_ms = 30'000;
    return config;
  }

  LoadOutcome Load(const LoadRequest& request) {
    const std::lock_guard lock(gate);
    loads.push_back(request.number);
    kept.push_back(request.keep != nullptr);
    if (without_memory) throw std::bad_alloc();
    if (!faults.empty()) return std::unexpected(faults);
    return LoadedGeneration{request.keep ? *request.keep : next, MakeGeneration(request.number),
                            warnings};
  }

  void Start() {
    bool serving = false;
    rollout->Begin({MakeGeneration(1), ListenerSet()}, 30'000, os::MonotonicMs(),
                   [&](const Status& status) { serving = status.has_value(); });
    REQUIRE(supervisor->StartAll(os::MonotonicMs()));
    TurnUntil([&] { return serving; });
  }

  void Turn() {
    std::vector<pollfd> fds = {{reloader->fd(), POLLIN, 0}};
    supervisor->AddPollFds(fds);
    ::poll(fds.data(), fds.size(), 10);
    const uint64_t now = os::MonotonicMs();
    supervisor->Reap(now);
    supervisor->Run(now);
    rollout->Run(now);
    reloader->Run(now);
  }

  template <typename Reached>
  void TurnUntil(Reached reached) {
    const uint64_t deadline = os::MonotonicMs() + 30'000;
    while (!reached()) {
      REQUIRE(os::MonotonicMs() < deadline);
      Turn();
    }
  }

  void Ask() {
    reloader->Request([this](const admin::Reply& reply) { replies.push_back(reply); },
                      os::MonotonicMs());
  }
  admin::Reply Reload() {
    const size_t before = replies.size();
    Ask();
    TurnUntil([&] { return replies.size() > before; });
    return replies.back();
  }

  class Silence : public LogSink {
    void Write(LogLevel, std::string_view) override {}
  };

  Behaviours behaviours;
  MasterLog log;
  Silence silence;
  std::unique_ptr<Rollout> rollout;
  std::unique_ptr<Supervisor> supervisor;
  std::unique_ptr<Reloader> reloader;
  std::mutex gate;  // held by a test, it keeps loads waiting
  config::Config next = Configuration();
  bool without_memory = false;  // the loader gets none
  std::vector<Error> faults;
  std::vector<Error> warnings;
  std::vector<uint64_t> loads;
  std::vector<bool> kept;  // of each load: whether the configuration was kept
  std::vector<config::Config> adopted;
  std::vector<admin::Reply> replies;
};

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("reloader: what was loaded serves, is adopted, and is reported") {
  Running running;
  running.next.drain_timeout_ms = 77;
  running.warnings = {{"certificate x has expired", "renew it", {"x.crt"}}};
  const admin::Reply reply = running.Reload();
  CHECK(reply.ok);
  CHECK(reply.text ==
        "generation 2 serves: 1 certificate, 0 read again\n"
        "warning: x.crt: certificate x has expired; renew it\n");
  REQUIRE(running.adopted.size() == 1);
  CHECK(running.adopted[0].drain_timeout_ms == 77);
  CHECK(running.reloader->config().drain_timeout_ms == 77);
  REQUIRE(running.reloader->last());
  CHECK(running.reloader->last()->ok);
  CHECK(running.rollout->current().generation->number == 2);
}

TEST_CASE("reloader: every fault is reported, and nothing is adopted") {
  Running running;
  running.faults = {{"one", "", {"f", 1, 2}}, {"two", "mend it", {}}};
  const admin::Reply reply = running.Reload();
  CHECK_FALSE(reply.ok);
  CHECK(reply.text ==
        "f:1:2: one\ntwo; mend it\nnothing has changed: what served goes on serving\n");
  CHECK(running.adopted.empty());
  CHECK(running.rollout->current().generation->number == 1);
  CHECK_FALSE(running.reloader->last()->ok);
  running.faults.clear();
  CHECK(running.Reload().ok);
}

TEST_CASE("reloader: a worker's refusal is the answer") {
  Running running({{1, "refuse 2"}});
  const admin::Reply reply = running.Reload();
  CHECK_FALSE(reply.ok);
  CHECK(Has(reply.text, "worker 1 refuses: told to refuse\n"));
  CHECK(running.adopted.empty());
}

TEST_CASE("reloader: wishes during a reload make one more, and all of them get its answer") {
  Running running;
  {
    const std::lock_guard lock(running.gate);
    running.Ask();
    running.Ask();
    running.Ask();
    running.reloader->Request(nullptr, os::MonotonicMs());  // a SIGHUP
    running.Turn();
    CHECK(running.replies.empty());
  }
  running.TurnUntil([&] { return running.replies.size() == 3; });
  CHECK(Has(running.replies[0].text, "generation 2 "));
  CHECK(Has(running.replies[1].text, "generation 3 "));
  CHECK(Has(running.replies[2].text, "generation 3 "));
  CHECK_FALSE(running.reloader->busy());
  CHECK(running.loads == std::vector<uint64_t>{2, 3});
}

TEST_CASE("reloader: what cannot change in a running master is a warning, and stays") {
  Running running;
  running.next.process.workers = 7;
  running.next.process.user = "other";
  running.next.process.pin = false;
  running.next.process.where = {"file", 3, 1};
  const admin::Reply reply = running.Reload();
  CHECK(reply.ok);
  CHECK(Has(reply.text,
            "warning: file:3:1: [process] workers was changed; the running Postern keeps \"2\"; "
            "restart Postern for it to take effect\n"));
  CHECK(Has(reply.text, "[process] user was changed; the running Postern keeps its default;"));
  CHECK(Has(reply.text, "[process] pin was changed"));
  CHECK(running.reloader->config().process.workers == 2);
  // It is said again as long as the file asks for it.
  CHECK(Has(running.Reload().text, "workers was changed"));
  CHECK(RestartNeeded(Running::Configuration(), Running::Configuration()).empty());
}

TEST_CASE("reloader: without memory a reload is refused, and the next one is as good as any") {
  Running running;
  running.without_memory = true;
  const admin::Reply refused = running.Reload();
  CHECK_FALSE(refused.ok);
  CHECK(Has(refused.text, "not enough memory for the new generation"));
  CHECK(Has(refused.text, "nothing has changed"));
  CHECK(running.adopted.empty());
  CHECK(running.rollout->current().generation->number == 1);
  running.without_memory = false;
  CHECK(running.Reload().ok);
  CHECK(running.adopted.size() == 1);
}

TEST_CASE("reloader: a log that cannot be opened refuses the reload, one that can is adopted") {
  Running running;
  const TemporaryDirectory directory;
  running.next.log.destination = config::LogDestination::kFile;
  running.next.log.file = directory / "missing/log";
  CHECK(Has(running.Reload().text, "log: cannot open"));
  running.next.log.file = directory / "log";
  CHECK(running.Reload().ok);
  CHECK(running.log.Same(running.next.log));
}

TEST_CASE("reloader: stopped, everybody is told") {
  Running running;
  {
    const std::lock_guard lock(running.gate);
    running.Ask();
    running.Ask();
    running.reloader->Stop("Postern is stopping");
  }
  REQUIRE(running.replies.size() == 2);
  CHECK_FALSE(running.replies[0].ok);
  CHECK_FALSE(running.replies[1].ok);
  running.Ask();
  REQUIRE(running.replies.size() == 3);
  CHECK(running.replies[2].text == "Postern is stopping");
  running.TurnUntil([&] { return !running.reloader->loading(); });
  CHECK(running.rollout->current().generation->number == 1);
}

TEST_CASE("reloader: a reload of files keeps the configuration, and tells what waits", "[watch]") {
  Running running;
  running.next.drain_timeout_ms = 77;  // in the file, and not reloaded
  std::vector<FilesReload> answers;
  const auto files = [&] {
    running.reloader->RequestFiles([&](const FilesReload& answer) { answers.push_back(answer); },
                                   os::MonotonicMs());
    const size_t before = answers.size();
    running.TurnUntil([&] { return answers.size() > before; });
  };
  files();
  CHECK(running.kept == std::vector<bool>{true});
  CHECK(answers.back().waiting.empty());
  CHECK(answers.back().state.has_value());
  REQUIRE(running.adopted.size() == 1);
  CHECK(running.adopted[0].drain_timeout_ms != 77);
  CHECK(running.reloader->last()->by == "watch");
  // Refused: nobody is told but who asked, and the last reload stays the last.
  running.faults = {{"half a file", "", {}}};
  files();
  REQUIRE(answers.back().waiting.size() == 1);
  CHECK(answers.back().waiting[0].what == "half a file");
  CHECK_FALSE(answers.back().state.has_value());
  CHECK(running.reloader->last()->ok);
  CHECK_FALSE(running.reloader->busy());
  // An administrator's reload meanwhile is not lost, and reads the file.
  running.faults.clear();
  {
    const std::lock_guard lock(running.gate);
    running.reloader->RequestFiles([&](const FilesReload& answer) { answers.push_back(answer); },
                                   os::MonotonicMs());
    running.reloader->Request([&](const admin::Reply& reply) { running.replies.push_back(reply); },
                              os::MonotonicMs(), "SIGHUP");
  }
  running.TurnUntil([&] { return running.replies.size() == 1; });
  CHECK(answers.size() == 3);
  CHECK(running.kept == std::vector<bool>{true, true, true, false});
  CHECK(running.reloader->last()->by == "SIGHUP");
  CHECK(running.adopted.back().drain_timeout_ms == 77);
}

}  // namespace postern::master
