#include "postern/admin/control.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "postern/base/limits.h"
#include "postern/os/clock.h"
#include "postern/os/socket.h"
#include "tests/unit/catch.h"
#include "tests/unit/os/temporary_directory.h"

namespace postern::admin {
namespace {

constexpr uint64_t kLong = 30'000;

// A served control socket, driven by the test as the master's loop would.
struct Served {
  Served() {
    auto opened = ControlServer::Open(path, [this](const Request& request) {
      requests.push_back(request);
      if (request.line == "later") return;
      server->Answer(request.client, {request.line != "bad", "you said " + request.line});
    });
    REQUIRE(opened);
    server = std::move(*opened);
  }

  // One turn of the loop.
  void Turn() {
    std::vector<pollfd> fds;
    server->AddPollFds(fds);
    ::poll(fds.data(), fds.size(), 20);
    server->Run(os::MonotonicMs());
  }

  template <typename Done>
  void TurnUntil(Done done) {
    const uint64_t deadline = os::MonotonicMs() + kLong;
    while (!done()) {
      REQUIRE(os::MonotonicMs() < deadline);
      Turn();
    }
  }

  size_t watched() const {
    std::vector<pollfd> fds;
    server->AddPollFds(fds);
    return fds.size();
  }

  os::UniqueFd Connect() const {
    auto fd = os::ConnectUnix(path);
    REQUIRE(fd);
    return std::move(*fd);
  }

  TemporaryDirectory directory;
  std::string path = directory / "control.sock";
  std::vector<Request> requests;
  std::unique_ptr<ControlServer> server;
};

// Asks from a thread of its own, since Ask waits.
struct Asker {
  Asker(const std::string& path, const std::string& request, uint64_t timeout_ms = kLong)
      : thread([this, path, request, timeout_ms] {
          answer = Ask(path, request, timeout_ms);
          done = true;
        }) {}
  ~Asker() { thread.join(); }
  Result<Reply> answer = Fail("not asked yet");
  std::atomic<bool> done = false;
  std::thread thread;
};

}  // namespace

TEST_CASE("control: a request gets its answer and its verdict") {
  Served served;
  for (const char* request : {"status", "bad"}) {
    Asker asker(served.path, request);
    served.TurnUntil([&] { return asker.done.load(); });
    REQUIRE(asker.answer);
    CHECK(asker.answer->ok == (std::string(request) == "status"));
    CHECK(asker.answer->text == fmt::format("you said {}\n", request));
  }
  REQUIRE(served.requests.size() == 2);
  CHECK(served.requests[0].pid == ::getpid());
  CHECK(served.requests[0].uid == ::geteuid());
  CHECK(served.requests[0].client != served.requests[1].client);
}

TEST_CASE("control: the socket is its owner's alone, and goes with the server") {
  std::string path;
  TemporaryDirectory keep;
  {
    auto server = ControlServer::Open(keep / "sock", [](const Request&) {});
    REQUIRE(server);
    path = keep / "sock";
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("control: an answer may come later, and others are served meanwhile") {
  Served served;
  Asker slow(served.path, "later");
  served.TurnUntil([&] { return served.requests.size() == 1; });
  Asker quick(served.path, "status");
  served.TurnUntil([&] { return quick.done.load(); });
  CHECK_FALSE(slow.done);
  served.server->Answer(served.requests[0].client, {true, ""});
  served.TurnUntil([&] { return slow.done.load(); });
  REQUIRE(slow.answer);
  CHECK(slow.answer->ok);
  CHECK(slow.answer->text.empty());
}

TEST_CASE("control: who hangs up while waiting is forgotten") {
  Served served;
  os::UniqueFd client = served.Connect();
  REQUIRE(::send(client.get(), "later\n", 6, 0) == 6);
  served.TurnUntil([&] { return served.requests.size() == 1; });
  client.Reset();
  served.TurnUntil([&] { return served.watched() == 1; });
  served.server->Answer(served.requests[0].client, {true, "nobody hears this"});
}

TEST_CASE("control: a client that closes its sending side is still answered") {
  Served served;
  const os::UniqueFd client = served.Connect();
  REQUIRE(::send(client.get(), "later\r\n", 7, 0) == 7);
  ::shutdown(client.get(), SHUT_WR);
  served.TurnUntil([&] { return served.requests.size() == 1; });
  CHECK(served.requests[0].line == "later");
  served.Turn();
  served.server->Answer(served.requests[0].client, {true, "text"});
  served.TurnUntil([&] { return served.watched() == 1; });
  char answer[64] = {};
  CHECK(::recv(client.get(), answer, sizeof answer, 0) == 8);
  CHECK(std::string(answer) == "text\nok\n");
}

TEST_CASE("control: a slow reader holds up nobody") {
  Served served;
  const std::string large(8 * 1024 * 1024, 'x');
  os::UniqueFd deaf = served.Connect();
  REQUIRE(::send(deaf.get(), "later\n", 6, 0) == 6);
  served.TurnUntil([&] { return served.requests.size() == 1; });
  served.server->Answer(served.requests[0].client, {true, large});
  served.Turn();
  Asker quick(served.path, "status");
  served.TurnUntil([&] { return quick.done.load(); });
  CHECK(quick.answer);
  // The deaf one is dropped when its time is up.
  REQUIRE(served.server->NextDeadlineMs());
  served.server->Run(*served.server->NextDeadlineMs());
  CHECK(served.watched() == 1);
}

TEST_CASE("control: large answers arrive whole") {
  Served served;
  const std::string large(8 * 1024 * 1024, 'x');
  Asker asker(served.path, "later");
  served.TurnUntil([&] { return served.requests.size() == 1; });
  served.server->Answer(served.requests[0].client, {true, large});
  served.TurnUntil([&] { return asker.done.load(); });
  REQUIRE(asker.answer);
  CHECK(asker.answer->text == large + "\n");
}

TEST_CASE("control: silent and long-winded clients are cut off") {
  Served served;
  const os::UniqueFd silent = served.Connect();
  served.TurnUntil([&] { return served.watched() == 2; });
  served.server->Run(os::MonotonicMs() + limits::kControlTimeoutMs + 1);
  CHECK(served.watched() == 1);

  const os::UniqueFd talker = served.Connect();
  const std::string endless(limits::kMaxControlRequest + 1, 'x');
  REQUIRE(::send(talker.get(), endless.data(), endless.size(), 0) > 0);
  char answer[64] = {};
  served.TurnUntil([&] { return ::recv(talker.get(), answer, sizeof answer, MSG_DONTWAIT) > 0; });
  CHECK(std::string(answer) == "the request is too long\nerror\n");
  CHECK(served.requests.empty());
}

TEST_CASE("control: only so many clients have a place at a time") {
  Served served;
  std::vector<os::UniqueFd> idle;
  for (size_t i = 0; i < limits::kMaxControlClients + 4; ++i) idle.push_back(served.Connect());
  served.Turn();
  CHECK(served.watched() == limits::kMaxControlClients);  // and the listener is not watched
  Asker asker(served.path, "status");
  idle.clear();
  served.TurnUntil([&] { return asker.done.load(); });
  CHECK(asker.answer);
}

TEST_CASE("control: what Ask says when there is no answer") {
  const TemporaryDirectory directory;
  const auto nobody = Ask(directory / "none", "status", kLong);
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().remedy.find("is it running") != std::string::npos);

  Served served;
  {
    const auto late = Ask(served.path, "status", 50);  // nobody turns the loop
    REQUIRE_FALSE(late);
    CHECK(late.error().what.find("no answer") != std::string::npos);
  }
  Asker asker(served.path, "later");
  served.TurnUntil(
      [&] { return !served.requests.empty() && served.requests.back().line == "later"; });
  served.server.reset();
  while (!asker.done) std::this_thread::yield();
  REQUIRE_FALSE(asker.answer);
  CHECK(asker.answer.error().what.find("ended before it had answered") != std::string::npos);
}

TEST_CASE("control: at the end answers are still delivered") {
  Served served;
  Asker asker(served.path, "status");
  served.TurnUntil([&] { return served.requests.size() == 1; });
  served.server->Flush(os::MonotonicMs() + kLong);
  while (!asker.done) std::this_thread::yield();
  CHECK(asker.answer);
  CHECK(served.watched() <= 1);
}

}  // namespace postern::admin
