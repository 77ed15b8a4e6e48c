#include "master/rollout.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <optional>

#include "postern/base/log.h"
#include "postern/os/clock.h"
#include "tests/unit/catch.h"
#include "tests/unit/master/fake_workers.h"
#include "tests/unit/master/parts.h"

namespace postern::master {
namespace {

constexpr uint64_t kLong = 30'000;

class Silence : public LogSink {
  void Write(LogLevel, std::string_view) override {}
};

// A master's workers without the rest of the master: fake worker processes, driven by the test.
struct Cluster {
  explicit Cluster(Behaviours told, uint32_t workers = 2) : behaviours(std::move(told)) {
    GlobalLogging().sink = &silence;
    auto made = Rollout::Create();
    REQUIRE(made);
    rollout = std::move(*made);
    SupervisorOptions options;
    options.workers = workers;
    options.heartbeat = {.every_ms = 20, .patience_ms = 200};
    options.control_page_fd = rollout->control_page_fd();
    options.ticket_keys_fd = rollout->control_page_fd();  // any descriptor will do
    options.addresses_fd = rollout->control_page_fd();
    options.session_ids_fd = rollout->control_page_fd();
    options.spawn = [this](uint32_t id, int channel) { return SpawnFake(behaviours, id, channel); };
    options.log = [] { return std::pair(worker::LogSetUp(), STDERR_FILENO); };
    auto supervised = Supervisor::Create(std::move(options), *rollout);
    REQUIRE(supervised);
    supervisor = std::move(*supervised);
    rollout->set_supervisor(supervisor.get());
  }
  ~Cluster() {
    supervisor.reset();
    GlobalLogging().sink = nullptr;
  }

  void Turn() {
    std::vector<pollfd> fds;
    supervisor->AddPollFds(fds);
    ::poll(fds.data(), fds.size(), 10);
    const uint64_t now = os::MonotonicMs();
    supervisor->Reap(now);
    supervisor->Run(now);
    rollout->Run(now);
  }

  template <typename Reached>
  void TurnUntil(Reached reached) {
    const uint64_t deadline = os::MonotonicMs() + kLong;
    while (!reached()) {
      REQUIRE(os::MonotonicMs() < deadline);
      Turn();
    }
  }

  // Proposes `generation` without waiting for what becomes of it.
  void Begin(generation::GenerationPtr generation, uint64_t timeout_ms = kLong) {
    outcome.reset();
    rollout->Begin({std::move(generation), ListenerSet()}, timeout_ms, os::MonotonicMs(),
                   [this](const Status& status) { outcome = status; });
  }
  Status Propose(generation::GenerationPtr generation, uint64_t timeout_ms = kLong) {
    Begin(std::move(generation), timeout_ms);
    TurnUntil([&] { return outcome.has_value(); });
    return *outcome;
  }
  Status Start() {
    Begin(MakeGeneration(1));
    REQUIRE(supervisor->StartAll(os::MonotonicMs()));
    TurnUntil([&] { return outcome.has_value(); });
    return *outcome;
  }

  uint64_t published() const {
    const auto page = os::MapFd(rollout->control_page_fd(), os::MapMode::kReadOnly);
    REQUIRE(page);
    return reinterpret_cast<const shm::ControlPage*>(page->bytes().data())->generation.load();
  }
  bool AllServe() const {
    for (uint32_t id = 0; id < supervisor->size(); ++id) {
      if (supervisor->state(id) != WorkerState::kServing) return false;
    }
    return true;
  }
  pid_t pid(uint32_t id) const { return supervisor->View(id).pid; }

  Behaviours behaviours;
  Silence silence;
  std::unique_ptr<Rollout> rollout;
  std::unique_ptr<Supervisor> supervisor;
  std::optional<Status> outcome;
};

}  // namespace

TEST_CASE("rollout: the first generation serves when every worker has it") {
  Cluster cluster({});
  CHECK(cluster.published() == 0);
  REQUIRE(cluster.Start());
  CHECK(cluster.published() == 1);
  CHECK(cluster.AllServe());
  for (const Holdings::Live& live : cluster.rollout->holdings().List()) {
    CHECK(live.workers == std::set<uint32_t>{0, 1});
  }
}

TEST_CASE("rollout: the control page cannot be written by who gets its descriptor") {
  Cluster cluster({});
  CHECK_FALSE(os::MapFd(cluster.rollout->control_page_fd(), os::MapMode::kShared));
}

TEST_CASE("rollout: a start is refused in the worker's own words") {
  Cluster cluster({{1, "refuse-start"}});
  const Status started = cluster.Start();
  REQUIRE_FALSE(started);
  CHECK(started.error().what == "worker 1 refuses: no ring to be had");
  CHECK(cluster.published() == 0);
}

TEST_CASE("rollout: a start during which a worker dies is refused") {
  Cluster cluster({{0, "die 1"}});
  const Status started = cluster.Start();
  REQUIRE_FALSE(started);
  CHECK(started.error().what == "worker 0 exited with status 7 while it prepared");
}

TEST_CASE("rollout: a reload switches all; old parts go when nobody holds them") {
  Cluster cluster({});
  REQUIRE(cluster.Start());
  const auto shared = MakePart(5, generation::PartKind::kKeys);
  REQUIRE(cluster.Propose(MakeGeneration(2, {shared})));
  REQUIRE(cluster.Propose(MakeGeneration(3, {shared})));
  CHECK(cluster.published() == 3);
  cluster.TurnUntil([&] { return cluster.rollout->holdings().List().size() == 3; });
  const auto parts = cluster.rollout->holdings().List();
  CHECK(parts[0].part->id() == 5);
  CHECK(parts[0].workers == std::set<uint32_t>{0, 1});
  CHECK(parts[1].part->id() == 31);
}

TEST_CASE("rollout: refused, dead, silent: none switches, and the next one can succeed") {
  struct Case {
    const char* behaviour;
    const char* reason;
    uint64_t timeout_ms;
  };
  for (const Case& c : {Case{"refuse 2", "worker 1 refuses: told to refuse", kLong},
                        Case{"die 2", "worker 1 exited with status 7 while it prepared", kLong},
                        Case{"deaf 2", "no answer in time from worker 1", 200}}) {
    CAPTURE(c.behaviour);
    Cluster cluster({{1, c.behaviour}});
    REQUIRE(cluster.Start());
    const Status proposed = cluster.Propose(MakeGeneration(2), c.timeout_ms);
    REQUIRE_FALSE(proposed);
    CHECK(proposed.error().what == c.reason);
    CHECK(cluster.published() == 1);
    CHECK(cluster.rollout->current().generation->number == 1);
    CHECK(cluster.rollout->holdings().List().size() == 2);
    cluster.TurnUntil([&] { return cluster.AllServe(); });
    CHECK(cluster.Propose(MakeGeneration(3)));
    CHECK(cluster.published() == 3);
  }
}

TEST_CASE("rollout: who does not switch is killed, and its successor serves the new generation") {
  Cluster cluster({{0, "stuck 2"}});
  REQUIRE(cluster.Start());
  const pid_t stuck = cluster.pid(0);
  cluster.Begin(MakeGeneration(2), 500);
  cluster.TurnUntil([&] { return cluster.published() == 2; });
  cluster.behaviours.clear();
  cluster.TurnUntil([&] { return cluster.outcome.has_value(); });
  CHECK(cluster.outcome->has_value());
  cluster.TurnUntil([&] { return cluster.pid(0) != stuck && cluster.AllServe(); });
}

TEST_CASE("rollout: a killed worker is replaced, with the generation that serves") {
  Cluster cluster({});
  REQUIRE(cluster.Start());
  REQUIRE(cluster.Propose(MakeGeneration(2)));
  const pid_t victim = cluster.pid(1);
  const pid_t other = cluster.pid(0);
  REQUIRE(::kill(victim, SIGKILL) == 0);
  cluster.TurnUntil([&] { return cluster.pid(1) != victim && cluster.AllServe(); });
  CHECK(cluster.pid(0) == other);
  CHECK(cluster.supervisor->View(1).restarts == 1);
  // Generation 2 is held by both again.
  cluster.TurnUntil([&] { return cluster.rollout->holdings().List().size() == 2; });
  for (const Holdings::Live& live : cluster.rollout->holdings().List()) {
    CHECK(live.generations == std::set<uint64_t>{2});
    CHECK(live.workers == std::set<uint32_t>{0, 1});
  }
}

TEST_CASE("rollout: a configuration that workers die of can be mended by a reload") {
  Cluster cluster({});
  REQUIRE(cluster.Start());
  cluster.behaviours = {{0, "die 1"}, {1, "die 1"}};
  ::kill(cluster.pid(0), SIGKILL);
  ::kill(cluster.pid(1), SIGKILL);
  // Both die young at each attempt, so that there are waits between.
  cluster.TurnUntil([&] {
    return cluster.supervisor->View(0).restarts >= 3 && cluster.supervisor->View(1).restarts >= 3;
  });
  cluster.behaviours.clear();
  REQUIRE(cluster.Propose(MakeGeneration(2)));
  cluster.TurnUntil([&] { return cluster.AllServe(); });
  CHECK(cluster.published() == 2);
}

TEST_CASE("rollout: cancelled before the commit it fails, and nothing has changed") {
  Cluster cluster({{0, "deaf 2"}});
  REQUIRE(cluster.Start());
  cluster.Begin(MakeGeneration(2));
  cluster.Turn();
  cluster.rollout->Cancel("stopping");
  REQUIRE(cluster.outcome.has_value());
  REQUIRE_FALSE(cluster.outcome->has_value());
  CHECK(cluster.outcome->error().what == "stopping");
  CHECK(cluster.published() == 1);
  cluster.rollout->Cancel("nothing to cancel");
}

TEST_CASE("rollout: more parts and sockets than fit one message arrive") {
  Cluster cluster({}, 1);
  REQUIRE(cluster.Start());
  std::vector<generation::PartPtr> segments;
  for (uint64_t id = 1000; id < 1450; ++id) {
    segments.push_back(MakePart(id, generation::PartKind::kCertificates));
  }
  REQUIRE(cluster.Propose(MakeGeneration(2, segments)));
  cluster.TurnUntil([&] { return cluster.rollout->holdings().List().size() == 452; });
}

TEST_CASE("supervisor: exits are put into words") {
  CHECK(DescribeExit(3 << 8) == "exited with status 3");
  CHECK(DescribeExit(SIGKILL) == "was killed by signal 9 (SIGKILL)");
}

TEST_CASE("supervisor: who hangs is killed and replaced, who answers lives") {
  Cluster cluster({{0, "mute"}});
  REQUIRE(cluster.Start());
  const pid_t mute = cluster.pid(0);
  const pid_t other = cluster.pid(1);
  cluster.behaviours.clear();  // its successor answers
  cluster.TurnUntil([&] { return cluster.pid(0) != mute && cluster.AllServe(); });
  CHECK(cluster.supervisor->View(0).restarts == 1);
  // Longer than anybody's patience.
  const uint64_t later = os::MonotonicMs() + 500;
  cluster.TurnUntil([&] { return os::MonotonicMs() >= later; });
  CHECK(cluster.pid(1) == other);
  CHECK(cluster.supervisor->View(0).restarts == 1);
}

TEST_CASE("supervisor: who is told to end and does not is there to be killed") {
  Cluster cluster({{0, "stubborn"}});
  REQUIRE(cluster.Start());
  cluster.supervisor->StopRestarting();
  cluster.supervisor->SendAll(worker::MessageType::kDrain, 1000);
  cluster.TurnUntil([&] { return cluster.supervisor->running() == 1; });
  CHECK(cluster.pid(0) != 0);
  cluster.supervisor->KillAll();
  cluster.TurnUntil([&] { return cluster.supervisor->running() == 0; });
}

}  // namespace postern::master
