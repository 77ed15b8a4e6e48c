#include "postern/session/session.h"

#include <fcntl.h>

#include <random>

#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;
using test::ToyRecord;

// An address on which nobody listens.
os::SocketAddress DeadAddress() {
  auto listener = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {});
  REQUIRE(listener);
  return test::BoundAddress(listener->get());
}

}  // namespace

TEST_CASE("session: both directions, however the octets are cut") {
  for (const size_t cut : {1U, 4U, 5U, 7U, 1000U}) {
    CAPTURE(cut);
    Harness harness;
    Harness::Pair pair = harness.Established();
    const std::string wire = ToyRecord("A1 LOGIN\r\n") + ToyRecord("") + ToyRecord("A2 NOOP\r\n");
    for (size_t at = 0; at < wire.size(); at += cut) {
      harness.Write(pair.client, std::string_view(wire).substr(at, cut));
      harness.Turn();
    }
    CHECK(harness.Read(pair.backend, 19) == "A1 LOGIN\r\nA2 NOOP\r\n");
    harness.Write(pair.backend, "* OK\r\n");
    CHECK(harness.Read(pair.client, 11) == ToyRecord("* OK\r\n"));
  }
}

TEST_CASE("session: records that follow the handshake in one segment are not lost") {
  Harness harness;
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, "HELLO\n" + ToyRecord("GET /") + ToyRecord(" HTTP/1.1").substr(0, 6));
  const os::UniqueFd backend = harness.AcceptBackend();
  harness.Write(client, ToyRecord(" HTTP/1.1").substr(6));
  CHECK(harness.Read(backend, 14) == "GET / HTTP/1.1");
}

TEST_CASE("session: the client ends first, and still hears the server out") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  harness.Write(pair.client, ToyRecord("last words") + ToyRecord("bye", 21));
  int error = 0;
  CHECK(harness.ReadAll(pair.backend, error) == "last words");
  CHECK(error == 0);  // FIN, carried over from close_notify
  harness.Write(pair.backend, "and mine");
  pair.backend.Reset();
  bool close_notify = false;
  CHECK(Harness::Opened(harness.ReadAll(pair.client, error), close_notify) == "and mine");
  CHECK(close_notify);
  CHECK(harness.table.empty());
  CHECK(harness.log.Has("how=client-closed"));
}

TEST_CASE("session: the server ends first, and still hears the client out") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  harness.Write(pair.backend, "* BYE\r\n");
  ::shutdown(pair.backend.get(), SHUT_WR);
  bool close_notify = false;
  const std::string notice = ToyRecord("* BYE\r\n") + ToyRecord("bye", 21);
  CHECK(harness.Read(pair.client, notice.size()) == notice);
  harness.Write(pair.client, ToyRecord("still here") + ToyRecord("bye", 21));
  int error = 0;
  CHECK(harness.ReadAll(pair.backend, error) == "still here");
  CHECK(error == 0);
  CHECK(harness.ReadAll(pair.client, error).empty());
  CHECK(harness.table.empty());
  CHECK(harness.log.Has("how=server-closed"));
  static_cast<void>(close_notify);
}

TEST_CASE("session: a bare FIN behind the server's end is a clean end") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  pair.backend.Reset();
  int error = 0;
  harness.Read(pair.client, ToyRecord("bye", 21).size());
  pair.client.Reset();
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.log.Has("how=server-closed"));
  static_cast<void>(error);
}

TEST_CASE("session: a truncated client stream is a reset to the server") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  harness.Write(pair.client, ToyRecord("half of it"));
  CHECK(harness.Read(pair.backend, 10) == "half of it");
  ::shutdown(pair.client.get(), SHUT_WR);  // FIN without close_notify
  int error = 0;
  harness.ReadAll(pair.backend, error);
  CHECK(error == ECONNRESET);
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.log.Has("how=client-truncated"));
}

TEST_CASE("session: a reset server is no clean end for the client") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  harness.Write(pair.backend, "a partial");
  CHECK(harness.Read(pair.client, 14) == ToyRecord("a partial"));
  const linger reset{1, 0};
  REQUIRE(::setsockopt(pair.backend.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
  pair.backend.Reset();
  harness.TurnUntil([&] {
    harness.now_ms += 100;
    return harness.table.empty();
  });
  int error = 0;
  CHECK(harness.ReadAll(pair.client, error).empty());  // no close_notify
  CHECK(harness.log.Has("how=server-reset"));
  CHECK(harness.log.Has("Connection reset by peer"));
}

TEST_CASE("session: a client's reset reaches the server as a reset") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  const linger reset{1, 0};
  REQUIRE(::setsockopt(pair.client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
  pair.client.Reset();
  int error = 0;
  harness.ReadAll(pair.backend, error);
  CHECK(error == ECONNRESET);
  CHECK(harness.log.Has("how=client-reset"));
}

TEST_CASE("session: without a server the client hears so in its protocol") {
  const struct {
    config::Service service;
    const char* words;
  } kCases[] = {{config::Service::kImap, "* BYE [UNAVAILABLE]"},
                {config::Service::kPop3, "-ERR [SYS/TEMP]"},
                {config::Service::kSubmission, "421 4.4.1"},
                {config::Service::kHttp, "HTTP/1.1 502"},
                {config::Service::kRaw, ""}};
  for (const auto& c : kCases) {
    CAPTURE(c.words);
    const os::SocketAddress dead = DeadAddress();
    Harness harness({.service = c.service, .servers = {dead, dead}});
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "HELLO\n");
    CHECK(harness.Read(client, 8) == "WELCOME\n");
    int error = 0;
    bool close_notify = false;
    std::string wire;
    harness.TurnUntil([&] { return harness.counters.backend_failed.Get() == 1; });
    // The client hangs around; its time is bounded, and there is none where nothing is said.
    if (c.service != config::Service::kRaw) harness.now_ms += 10'000;
    wire = harness.ReadAll(client, error);
    CHECK(error == 0);
    const std::string words = Harness::Opened(wire, close_notify);
    CHECK(words.starts_with(c.words));
    CHECK(words.empty() == (c.service == config::Service::kRaw));
    CHECK(close_notify == !words.empty());
    CHECK(harness.log.Has("how=backend-unreachable"));
    CHECK(harness.log.Has("level=warning"));
    CHECK(harness.log.Has(dead.ToString() + ": Connection refused"));
  }
}

TEST_CASE("session: without a server and without words a plain client sees no end, but a reset") {
  Harness harness(
      {.service = config::Service::kRaw, .servers = {DeadAddress()}, .tls = config::TlsMode::kOff});
  const os::UniqueFd client = harness.Connect();
  int error = 0;
  CHECK(harness.ReadAll(client, error).empty());
  CHECK(error == ECONNRESET);
  CHECK(harness.log.Has("how=backend-unreachable"));
}

TEST_CASE("session: the next server takes over, and gets what the client said meanwhile") {
  Harness probe;
  const os::SocketAddress live = test::BoundAddress(probe.backend_listener.get());
  Harness harness({.servers = {DeadAddress(), live}});
  for (int i = 0; i < 4; ++i) {
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "HELLO\n" + ToyRecord("hi"));
    os::UniqueFd backend;
    harness.TurnUntil([&] {
      backend.Reset(::accept4(probe.backend_listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
      return backend.valid();
    });
    CHECK(harness.Read(backend, 2) == "hi");
  }
}

TEST_CASE("session: a server that never answers costs its timeout, then the next one is tried") {
  // A listener whose queue is full drops further connections silently.
  auto full = os::MakeListener(*os::SocketAddress::FromIp("127.0.0.1", 0), {.backlog = 0});
  REQUIRE(full);
  const os::SocketAddress address = test::BoundAddress(full->get());
  std::vector<os::UniqueFd> fillers;
  for (int i = 0; i < 3; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    ::connect(fillers.back().get(), address.get(), address.size());
  }
  Harness probe;
  const os::SocketAddress live = test::BoundAddress(probe.backend_listener.get());
  Harness harness({.servers = {address, live}});
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, "HELLO\n" + ToyRecord("hi"));
  CHECK(harness.Read(client, 8) == "WELCOME\n");
  for (int i = 0; i < 20; ++i) harness.Turn();
  harness.now_ms += 2'100;  // connect_timeout is 2 s
  os::UniqueFd backend;
  harness.TurnUntil([&] {
    backend.Reset(::accept4(probe.backend_listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    return backend.valid();
  });
  CHECK(harness.Read(backend, 2) == "hi");
}

TEST_CASE("session: handshake failures and timeouts are told apart") {
  Harness harness;
  {
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, "BAD");
    CHECK(harness.Read(client, 6) == "ALERT\n");
  }
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.log.Has("how=handshake-failed failure=protocol reason=toy"));

  const os::UniqueFd silent = harness.Connect();
  const os::UniqueFd slow = harness.Connect();
  harness.Write(slow, "HEL");
  for (int i = 0; i < 5; ++i) harness.Turn();
  harness.now_ms += 9'000;
  harness.Write(slow, "L");  // a drip does not extend the time
  for (int i = 0; i < 5; ++i) harness.Turn();
  CHECK(harness.table.size() == 2);
  harness.now_ms += 1'100;
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.log.Has("the client sent nothing"));
  CHECK(harness.log.Has("the client did not complete the handshake"));
  CHECK(harness.counters.handshakes_failed.Get() == 3);
  CHECK(harness.counters.handshaking.Get() == 0);
}

TEST_CASE("session: idle connections are told and closed, busy ones are not") {
  Harness harness;
  Harness::Pair idle = harness.Established();
  Harness::Pair busy = harness.Established();
  harness.now_ms += 200'000;
  harness.Write(busy.client, ToyRecord("q"));
  CHECK(harness.Read(busy.backend, 1) == "q");
  harness.now_ms += 150'000;
  int error = 0;
  std::string wire = harness.Read(idle.client, 5);
  harness.now_ms += 5'000;
  wire += harness.ReadAll(idle.client, error);
  bool close_notify = false;
  CHECK(Harness::Opened(wire, close_notify) == "* BYE Disconnected for inactivity\r\n");
  CHECK(close_notify);
  CHECK(harness.table.size() == 1);
  CHECK(harness.log.Has("how=idle-timeout"));
  harness.Write(busy.backend, "y\n");
  CHECK(harness.Read(busy.client, 7) == ToyRecord("y\n"));
}

TEST_CASE("session: goodbye is said between lines, never within one") {
  Harness harness;
  Harness::Pair between = harness.Established();
  Harness::Pair within = harness.Established();
  harness.Write(between.backend, "* OK\r\n");
  harness.Write(within.backend, "* 1 FETCH {100}");
  CHECK(harness.Read(between.client, 11).size() == 11);
  CHECK(harness.Read(within.client, 20).size() == 20);
  harness.table.EndAll(mail::Occasion::kShutdown, How::kDrained);
  harness.TurnUntil([&] {
    harness.now_ms += 100;
    return harness.table.empty();
  });
  int error = 0;
  bool close_notify = false;
  CHECK(Harness::Opened(harness.ReadAll(between.client, error), close_notify) ==
        "* BYE Server is shutting down\r\n");
  CHECK(close_notify);
  CHECK(Harness::Opened(harness.ReadAll(within.client, error), close_notify).empty());
  CHECK_FALSE(close_notify);  // what was cut off must not look whole
}

TEST_CASE("session: broken records end the connection, for the server with a reset") {
  for (const std::string& bad :
       {std::string("\x17\x03\x03\xff\xff", 5), std::string("garbage"), ToyRecord("x", 25)}) {
    Harness harness;
    Harness::Pair pair = harness.Established();
    harness.Write(pair.client, bad);
    int error = 0;
    harness.ReadAll(pair.backend, error);
    CHECK(error == ECONNRESET);
    harness.TurnUntil([&] {
      harness.now_ms += 100;
      return harness.table.empty();
    });
    CHECK(harness.log.Has("how=error reason="));
  }
}

TEST_CASE("session: what the record layer has to say is sent") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  harness.Write(pair.client, ToyRecord("update", 22));
  CHECK(harness.Read(pair.client, 12) == ToyRecord("updated", 22));
}

TEST_CASE("session: bulk in both directions at once, byte for byte, with few slots") {
  Harness harness({.slots = 4});
  Harness::Pair pair = harness.Established();
  std::mt19937 random(3);
  std::string up;
  std::string up_wire;
  while (up.size() < 4'000'000) {
    const std::string block(1 + random() % 16384, static_cast<char>(random()));
    up += block;
    up_wire += ToyRecord(block);
  }
  std::string down(4'000'000, '\0');
  for (char& c : down) c = static_cast<char>(random());
  std::string got_up;
  std::string got_wire;
  std::string_view to_send_up = up_wire;
  std::string_view to_send_down = down;
  std::string buffer(100'000, '\0');
  bool close_notify = false;
  const auto step = [&](const os::UniqueFd& fd, std::string_view& send, std::string& got) {
    const ssize_t written = ::write(fd.get(), send.data(), send.size());
    if (written > 0) send.remove_prefix(static_cast<size_t>(written));
    const ssize_t size = ::read(fd.get(), buffer.data(), 1 + random() % buffer.size());
    if (size > 0) got.append(buffer, 0, static_cast<size_t>(size));
  };
  harness.TurnUntil([&] {
    step(pair.client, to_send_up, got_wire);
    step(pair.backend, to_send_down, got_up);
    return got_up.size() == up.size() && got_wire.size() > down.size() && to_send_down.empty() &&
           Harness::Opened(got_wire, close_notify).size() == down.size();
  });
  CHECK((got_up == up));
  CHECK((Harness::Opened(got_wire, close_notify) == down));
  CHECK(harness.counters.bytes_from_clients.Get() == up.size());
  CHECK(harness.counters.bytes_to_clients.Get() == down.size());
}

TEST_CASE("session: readers that do not read pin no slots and are bounded in memory") {
  Harness harness({.slots = 16});
  std::vector<Harness::Pair> stuck;
  const std::string flood(8'000'000, 'x');
  for (int i = 0; i < 12; ++i) {
    stuck.push_back(harness.Established());
    // Write until the session stops reading: socket buffers and a bounded queue are full then.
    size_t written = 0;
    for (int idle = 0; idle < 30;) {
      const ssize_t size = ::write(stuck.back().backend.get(), flood.data(), flood.size());
      idle = size > 0 ? 0 : idle + 1;
      if (size > 0) written += static_cast<size_t>(size);
      harness.Turn();
    }
    CHECK(harness.counters.bytes_to_clients.Get() > 0);
  }
  CHECK(harness.backend_pool->available() == harness.backend_pool->count());
  // Everybody else is served as if nothing were the matter.
  Harness::Pair live = harness.Established();
  harness.Write(live.backend, "a prompt");
  CHECK(harness.Read(live.client, 13) == ToyRecord("a prompt"));
  // And a stuck reader that begins to read gets all of it.
  const uint64_t before = harness.counters.bytes_to_clients.Get();
  std::string got;
  std::string buffer(65536, '\0');
  harness.TurnUntil([&] {
    const ssize_t size = ::read(stuck[0].client.get(), buffer.data(), buffer.size());
    if (size > 0) got.append(buffer, 0, static_cast<size_t>(size));
    return harness.counters.bytes_to_clients.Get() > before;
  });
}

TEST_CASE("session: the counters come back to zero") {
  Harness harness;
  {
    Harness::Pair a = harness.Established();
    Harness::Pair b = harness.Established();
    CHECK(harness.counters.connections.Get() == 2);
  }
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.counters.connections.Get() == 0);
  CHECK(harness.counters.handshakes_full.Get() == 2);
  harness.TurnUntil([&] { return harness.ring->direct_free() == 512; });
}

}  // namespace postern::session
