// Time and admission: what ends a session that its peer drags out, and who is refused behind a
// proxy's header.
#include <string>
#include <utility>

#include "postern/session/admission.h"
#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

using test::Harness;

// An Admission of its own, for a harness.
struct Door {
  explicit Door(Harness& harness)
      : master(std::move(*shm::AddressTableMaster::Create(1024, 1))),
        table(std::move(*shm::AddressTable::Map(master.fd(), 0))),
        admission(table, harness.counters, harness.timers, harness.now_ms) {
    harness.io->admission = &admission;
  }
  shm::AddressTableMaster master;
  shm::AddressTable table;
  Admission admission;
};

config::ProxyAcceptance FromHere() {
  return {config::ProxyIn::kAny, {*os::Network::Parse("127.0.0.0/8")}, 5'000};
}

void TurnSome(Harness& harness) {
  for (int i = 0; i < 10; ++i) harness.Turn();
}

}  // namespace

TEST_CASE("session limits: the first octet has its time, and the handshake its own from then on") {
  Harness harness({.first_byte_ms = 3'000});
  const os::UniqueFd silent = harness.Connect();
  const os::UniqueFd slow = harness.Connect();
  harness.Write(slow, "H");
  TurnSome(harness);
  harness.now_ms += 3'100;
  harness.TurnUntil([&] { return harness.table.size() == 1; });
  CHECK(harness.log.Has("the client sent nothing"));
  for (const char* octet : {"E", "L"}) {
    harness.Write(slow, octet);
    TurnSome(harness);
    harness.now_ms += 3'000;
  }
  TurnSome(harness);
  CHECK(harness.table.size() == 1);
  harness.now_ms += 1'100;
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.log.Has("the client did not complete the handshake"));
}

TEST_CASE("session limits: a client that never reads is cut off, long before it is idle") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  const std::string much(65'536, 'x');
  // Until the server is no longer read from: socket buffers and queue are full.
  int stuck = 0;
  while (stuck < 50) {
    const ssize_t written = ::write(pair.backend.get(), much.data(), much.size());
    stuck = written < 0 ? stuck + 1 : 0;
    harness.Turn();
  }
  harness.now_ms += 59'000;
  TurnSome(harness);
  CHECK(harness.table.size() == 1);
  harness.now_ms += 1'100;
  harness.TurnUntil([&] { return harness.table.empty(); });
  CHECK(harness.log.Has("how=unread reason=\"the client does not read\""));
  CHECK(harness.counters.unread.Get() == 1);
}

TEST_CASE("session limits: a client that reads now and then is not") {
  Harness harness;
  Harness::Pair pair = harness.Established();
  const std::string much(65'536, 'x');
  for (int round = 0; round < 4; ++round) {
    int stuck = 0;
    while (stuck < 50) {
      const ssize_t written = ::write(pair.backend.get(), much.data(), much.size());
      stuck = written < 0 ? stuck + 1 : 0;
      harness.Turn();
    }
    harness.now_ms += 50'000;
    TurnSome(harness);
    std::string got(4 << 20, '\0');
    // Until so much has gone through that the session must have sent, whatever the kernel's buffers
    // hold and however slow the machine.
    size_t through = 0;
    harness.TurnUntil([&] {
      while (::read(pair.client.get(), got.data(), got.size()) > 0) {
      }
      const ssize_t written = ::write(pair.backend.get(), much.data(), much.size());
      through += written > 0 ? static_cast<size_t>(written) : 0;
      return through >= (2U << 20);
    });
  }
  CHECK(harness.table.size() == 1);
  CHECK(harness.counters.unread.Get() == 0);
}

TEST_CASE("session limits: behind a proxy the client that the header names is refused") {
  struct Case {
    config::TlsMode tls;
    const char* header;
    const char* words;
  };
  const Case cases[] = {
      {config::TlsMode::kStartTls, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "* BYE Your address"},
      {config::TlsMode::kStartTls, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "* OK"},
      {config::TlsMode::kStartTls, "PROXY UNKNOWN\r\n", "* OK"},
      {config::TlsMode::kImplicit, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", ""}};
  for (const Case& test : cases) {
    CAPTURE(test.header);
    Harness harness({.proxy_in = FromHere(),
                     .tls = test.tls,
                     .access = {.deny = {*os::Network::Parse("192.0.2.0/24")}}});
    const Door door(harness);
    const os::UniqueFd client = harness.Connect();
    harness.Write(client, test.header);
    const std::string expected = test.words;
    if (expected.empty()) {
      int error = 0;
      CHECK(harness.ReadAll(client, error).empty());
    } else {
      CHECK(harness.Read(client, expected.size()) == expected);
    }
    const bool refused = expected != "* OK";
    CHECK(harness.counters.refused[static_cast<size_t>(Refusal::kDenied)].Get() ==
          (refused ? 1 : 0));
    CHECK(harness.log.Has("client=192.0.2.1:1") == refused);
    CHECK_FALSE(harness.log.Has("connection closed"));
    harness.table.EndAll(mail::Occasion::kShutdown, How::kDrained);
    harness.TurnUntil([&] {
      harness.now_ms += 1'000;
      return harness.table.empty();
    });
  }
}

TEST_CASE("session limits: a session is counted until its end, and its failures are noted") {
  Harness harness({.proxy_in = FromHere()});
  const Door door(harness);
  const auto key = *shm::AddressKey::OfClient(*os::SocketAddress::FromIp("2001:db8::77", 1));
  shm::AddressTable other = std::move(*shm::AddressTable::Map(door.master.fd(), 0));
  const uint32_t slot = other.Enter(key, harness.now_ms);
  const os::UniqueFd client = harness.Connect();
  harness.Write(client, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
  harness.TurnUntil([&] { return other.Connections(slot) == 2; });
  harness.Write(client, "BAD");
  CHECK(harness.Read(client, 6) == "ALERT\n");
  CHECK(harness.counters.faults[static_cast<size_t>(Fault::kHandshake)].Get() == 1);
  harness.TurnUntil([&] {
    harness.now_ms += 1'000;
    return harness.table.empty();
  });
  CHECK(other.Connections(slot) == 1);
}

}  // namespace postern::session
