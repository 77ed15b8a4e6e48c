#include "master/certificate_watch.h"

#include <poll.h>

#include <cerrno>
#include <mutex>

#include "postern/base/log.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

using Kind = os::FileEvent::Kind;

// A kernel that does as it is told.
struct Kernel {
  std::map<std::string, int> watches;
  std::vector<os::FileEvent> waiting;
  size_t most = 1000;  // watches
  bool instances = true;
  int next = 1;
};

class FakeEvents : public os::FileEvents {
 public:
  explicit FakeEvents(Kernel& kernel) : kernel_(kernel) {}
  ~FakeEvents() override { kernel_.watches.clear(); }
  int fd() const override { return -1; }
  std::expected<int, int> Watch(const std::string& directory, bool) override {
    if (kernel_.watches.size() >= kernel_.most) return std::unexpected(ENOSPC);
    return kernel_.watches[directory] = kernel_.next++;
  }
  void Forget(int watch) override {
    std::erase_if(kernel_.watches, [&](const auto& entry) { return entry.second == watch; });
  }
  std::vector<os::FileEvent> Take() override { return std::exchange(kernel_.waiting, {}); }

 private:
  Kernel& kernel_;
};

class Lines : public LogSink {
 public:
  void Write(LogLevel, std::string_view line) override { text += line; }
  size_t Count(const std::string& part) const {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
      ++count;
    return count;
  }
  std::string text;
};

// A watch over directories that exist in the test's mind alone, at a time that it sets.
struct Watching {
  Watching() {
    GlobalLogging().sink = &log;
    GlobalLogging().least = LogLevel::kInfo;
    config.certificates.watch = true;
    plan.directories["/c"] = {{"x.crt", "x.key"}, false, true, 1, 2};
    plan.directories["/"] = {{"c"}, false, false, 1, 1};
    plan.state = 1;
    CertificateWatch::Options options;
    options.events = [this]() -> Result<std::unique_ptr<os::FileEvents>> {
      if (!kernel.instances) return FailErrno("cannot watch files", EMFILE, "raise the limit");
      return std::make_unique<FakeEvents>(kernel);
    };
    options.plan = [this](const config::Config&) {
      const std::lock_guard lock(mutex);
      ++looks;
      return plan;
    };
    options.busy = [this] { return busy; };
    options.reload = [this](Reloader::FilesAnswer answer, uint64_t) {
      ++reloads;
      pending = std::move(answer);
    };
    auto made = CertificateWatch::Create(std::move(options));
    REQUIRE(made);
    watch = std::move(*made);
  }
  ~Watching() { GlobalLogging() = Logging(); }

  void Set(const WatchPlan& to) {
    const std::lock_guard lock(mutex);
    plan = to;
  }
  WatchPlan Plan() {
    const std::lock_guard lock(mutex);
    return plan;
  }
  int Looks() {
    const std::lock_guard lock(mutex);
    return looks;
  }

  // Runs it until no look is out and none is due.
  void Run() {
    for (;;) {
      watch->Run(now);
      if (!watch->looking()) return;
      std::vector<pollfd> fds;
      watch->AddPollFds(fds);
      REQUIRE(::poll(fds.data(), 1, 30'000) == 1);
    }
  }
  void Pass(uint64_t ms) {
    now += ms;
    Run();
  }
  void Follow() {
    watch->Follow(std::make_shared<const config::Config>(config), 1);
    Run();
  }
  void Event(const std::string& directory, const std::string& name) {
    kernel.waiting.push_back({Kind::kChanged, kernel.watches.at(directory), name});
    Run();
  }
  void Answer(FilesReload outcome) {
    REQUIRE(pending);
    std::exchange(pending, nullptr)(outcome);
    Run();
  }
  void AnswerServed() { Answer({{}, Plan().state}); }

  Lines log;
  Kernel kernel;
  config::Config config;
  std::mutex mutex;  // `plan` and `looks` are the look's thread's, too
  WatchPlan plan;
  int looks = 0;
  bool busy = false;
  int reloads = 0;
  Reloader::FilesAnswer pending;
  uint64_t now = 1'000'000;
  std::unique_ptr<CertificateWatch> watch;
};

}  // namespace

TEST_CASE("certificate watch: a change is reloaded when it has come to rest", "[watch]") {
  Watching test;
  test.Follow();
  CHECK(test.watch->Mode() == "inotify");
  CHECK(test.kernel.watches.size() == 2);
  test.Event("/c", "other");
  CHECK_FALSE(test.log.Count("changed"));
  test.Event("/c", "x.crt");
  test.Pass(kWatchSettleMs - 1);
  CHECK(test.reloads == 0);
  test.Event("/c", "x.key");
  test.Pass(kWatchSettleMs - 1);
  CHECK(test.reloads == 0);
  test.Pass(1);
  CHECK(test.reloads == 1);
  CHECK(test.log.Count("first=/c/x.crt") == 1);
  test.AnswerServed();
  test.Pass(kWatchSettleAtMostMs);
  CHECK(test.reloads == 1);
}

TEST_CASE("certificate watch: endless changes are reloaded all the same", "[watch]") {
  Watching test;
  test.Follow();
  const uint64_t begun = test.now;
  while (test.reloads == 0) {
    test.Event("/c", "x.crt");
    test.Pass(100);
    REQUIRE(test.now - begun <= kWatchSettleAtMostMs + 100);
  }
  CHECK(test.now - begun >= kWatchSettleAtMostMs);
}

TEST_CASE("certificate watch: a reload under way is waited for, and changes in it count",
          "[watch]") {
  Watching test;
  test.Follow();
  test.busy = true;
  test.Event("/c", "x.crt");
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 0);
  CHECK(test.watch->NextDeadlineMs().value() > test.now);  // nobody spins meanwhile
  test.busy = false;
  test.Run();
  CHECK(test.reloads == 1);
  test.Event("/c", "x.crt");
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 1);
  test.AnswerServed();
  CHECK(test.reloads == 2);
}

TEST_CASE("certificate watch: files that wait are said once and tried again", "[watch]") {
  Watching test;
  test.Follow();
  test.Event("/c", "x.crt");
  test.Pass(kWatchSettleMs);
  const Error half = {"the key in x.key does not belong to the certificate", "", {}};
  for (uint64_t pause = kWatchRetryFirstMs; pause <= kWatchRetryFirstMs * 8; pause *= 2) {
    test.Answer({{half}, 1});
    const int before = test.reloads;
    test.Pass(pause - 1);
    CHECK(test.reloads == before);
    test.Pass(1);
    CHECK(test.reloads == before + 1);
  }
  CHECK(test.log.Count("certificate files wait") == 1);
  CHECK(test.watch->waiting().size() == 1);
  // Something else is wrong now: said anew. An event does not wait for the pause.
  test.Answer({{{"x.key is empty", "", {}}}, std::nullopt});
  CHECK(test.log.Count("certificate files wait") == 2);
  const int before = test.reloads;
  test.Event("/c", "x.key");
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == before + 1);
  test.AnswerServed();
  CHECK(test.watch->waiting().empty());
  test.Pass(kWatchRetryAtMostMs);
  CHECK(test.reloads == before + 1);
}

TEST_CASE("certificate watch: what changed before there was a watch is found", "[watch]") {
  Watching test;
  test.plan.state = 2;  // Follow says that 1 was read
  test.Follow();
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 1);
  // A directory is watched only now: it is looked at once more.
  CHECK(test.Looks() == 2);
}

TEST_CASE("certificate watch: lost events make it look at everything", "[watch]") {
  Watching test;
  test.Follow();
  const int before = test.Looks();
  test.kernel.waiting.push_back({Kind::kOverflow, -1, {}});
  test.Run();
  CHECK(test.Looks() == before + 1);
  CHECK(test.log.Count("file events lost") == 1);
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 0);  // nothing had changed
  test.plan.state = 7;
  test.kernel.waiting.push_back({Kind::kOverflow, -1, {}});
  test.Run();
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 1);
}

TEST_CASE("certificate watch: without watches files are polled, with the remedy in the log",
          "[watch]") {
  Watching test;
  test.kernel.most = 1;
  test.Follow();
  CHECK(test.watch->Mode() == "polling");
  CHECK(test.log.Count("sysctl fs.inotify.max_user_watches=65536") == 1);
  const int before = test.Looks();
  test.Pass(kWatchPollMs);
  CHECK(test.Looks() == before + 1);
  WatchPlan changed = test.Plan();
  changed.state = 5;
  test.Set(changed);
  test.Pass(kWatchPollMs);
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 1);
  test.AnswerServed();
  CHECK(test.log.Count("sysctl") == 1);
  // The limit was raised.
  test.kernel.most = 1000;
  test.Pass(kWatchPollMs);
  CHECK(test.watch->Mode() == "inotify");
  CHECK(test.kernel.watches.size() == 2);
}

TEST_CASE("certificate watch: without instances of inotify files are polled, too", "[watch]") {
  Watching test;
  test.kernel.instances = false;
  test.Follow();
  CHECK(test.watch->Mode() == "polling");
  CHECK(test.log.Count("raise the limit") == 1);
  test.kernel.instances = true;
  test.Pass(kWatchPollMs);
  CHECK(test.watch->Mode() == "inotify");
}

TEST_CASE("certificate watch: looks at very many files keep their share of the time", "[watch]") {
  Watching test;
  test.kernel.most = 0;
  test.plan.took_ms = 1'000;
  test.Follow();
  const int before = test.Looks();
  test.Pass(1'000 * kWatchLookShare - 1);
  CHECK(test.Looks() == before);
  test.Pass(1);
  CHECK(test.Looks() == before + 1);
}

TEST_CASE("certificate watch: a directory that goes and comes back is watched again", "[watch]") {
  Watching test;
  test.Follow();
  const int old = test.kernel.watches.at("/c");
  WatchPlan without = test.Plan();
  WatchPlan with = without;
  without.directories.erase("/c");
  without.state = 2;
  test.Set(without);
  test.kernel.waiting.push_back({Kind::kGone, old, {}});
  test.Run();
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 1);
  test.Answer({{{"there is no directory /c", "", {}}}, std::nullopt});
  CHECK_FALSE(test.kernel.watches.contains("/c"));
  with.directories["/c"].inode = 3;
  test.Set(with);
  test.Event("/", "c");
  test.Pass(kWatchSettleMs);
  CHECK(test.reloads == 2);
  test.AnswerServed();
  CHECK(test.kernel.watches.contains("/c"));
  CHECK(test.kernel.watches.at("/c") != old);
  // One that was exchanged for another without our being told (a directory above was renamed).
  const int before = test.kernel.watches.at("/c");
  with.directories["/c"].inode = 4;
  test.Set(with);
  test.Pass(kWatchLookMs);
  CHECK(test.kernel.watches.at("/c") != before);
}

TEST_CASE("certificate watch: is switched on and off", "[watch]") {
  Watching test;
  test.config.certificates.watch = false;
  test.Follow();
  CHECK(test.watch->Mode() == "off");
  CHECK(test.Looks() == 0);
  CHECK_FALSE(test.watch->NextDeadlineMs());
  test.config.certificates.watch = true;
  test.Follow();
  CHECK(test.kernel.watches.size() == 2);
  test.config.certificates.watch = false;
  test.Follow();
  CHECK(test.kernel.watches.empty());
  CHECK_FALSE(test.watch->NextDeadlineMs());
}

}  // namespace postern::master
