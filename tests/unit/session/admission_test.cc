#include "postern/session/admission.h"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "generation/settings_image.h"
#include "postern/os/sealed_memory.h"
#include "tests/unit/catch.h"
#include "tests/unit/session/harness.h"

namespace postern::session {
namespace {

os::SocketAddress Ip(const char* ip) { return *os::SocketAddress::FromIp(ip, 4321); }

std::vector<os::Network> Networks(std::initializer_list<const char*> texts) {
  std::vector<os::Network> networks;
  for (const char* text : texts) networks.push_back(*os::Network::Parse(text));
  return networks;
}

// Two listeners, "mail" and "other", and an Admission for each of two workers.
struct Site {
  explicit Site(const config::AddressLimits& limits, const config::ListenerAccess& access = {})
      : master(std::move(*shm::AddressTableMaster::Create(1024, 2))),
        tables{std::move(*shm::AddressTable::Map(master.fd(), 0)),
               std::move(*shm::AddressTable::Map(master.fd(), 1))},
        here(tables[0], counters, timers, now_ms),
        there(tables[1], counters, timers, now_ms) {
    config::Config config;
    config.limits.of_address = limits;
    config.backends.push_back({.name = "b", .servers = {}});
    for (const char* name : {"mail", "other"}) {
      config::Listener& listener = config.listeners.emplace_back();
      listener.name = name;
      listener.backend = "b";
      listener.timeouts.idle_ms = 1'000;
    }
    config.listeners[0].access = access;
    const auto image = generation::BuildSettings(config, 1, {}, {});
    auto memory = os::MakeSealed("settings", image);
    settings = *generation::Settings::Map(memory->get());
  }
  Refusal Enter(Admission& admission, const char* ip, AdmissionHold& hold, uint32_t listener = 0) {
    return admission.EnterAddress(*settings, listener, Ip(ip), hold);
  }
  uint64_t now_ms = 5'000'000;
  test::LogKeeper log;
  shm::AddressTableMaster master;
  shm::AddressTable tables[2];
  shm::WorkerCounters counters;
  ring::TimerWheel timers{now_ms};
  generation::SettingsPtr settings;
  Admission here;
  Admission there;
};

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("admission: connections of an address, over workers and listeners") {
  Site site({.connections = 2});
  AdmissionHold a, b, c;
  CHECK(site.Enter(site.here, "192.0.2.1", a) == Refusal::kNone);
  CHECK(site.Enter(site.there, "::ffff:192.0.2.1", b, 1) == Refusal::kNone);
  CHECK(site.Enter(site.here, "192.0.2.1", c, 1) == Refusal::kAddressFull);
  CHECK(site.Enter(site.here, "192.0.2.2", c) == Refusal::kNone);  // another one may
  a.Release();
  AdmissionHold d;
  CHECK(site.Enter(site.there, "192.0.2.1", d) == Refusal::kNone);
}

TEST_CASE("admission: a network of IPv6 is one client") {
  Site site({.connections = 1});
  AdmissionHold a, b, c;
  CHECK(site.Enter(site.here, "2001:db8:0:1::1", a) == Refusal::kNone);
  CHECK(site.Enter(site.here, "2001:db8:0:1:ffff::2", b) == Refusal::kAddressFull);
  CHECK(site.Enter(site.here, "2001:db8:0:2::1", c) == Refusal::kNone);
}

TEST_CASE("admission: connections of a listener, and of an address to it") {
  Site site({}, {.connections = 3, .connections_per_address = 1});
  AdmissionHold a, b, c, d, e;
  CHECK(site.Enter(site.here, "192.0.2.1", a) == Refusal::kNone);
  CHECK(site.Enter(site.there, "192.0.2.1", b) == Refusal::kAddressFullHere);
  CHECK(site.Enter(site.there, "192.0.2.1", b, 1) == Refusal::kNone);  // elsewhere it may
  for (AdmissionHold* hold : {&a, &c, &d}) {
    CHECK(site.here.EnterListener(*site.settings, 0, *hold) == Refusal::kNone);
  }
  CHECK(site.there.EnterListener(*site.settings, 0, e) == Refusal::kListenerFull);
  CHECK(site.there.EnterListener(*site.settings, 1, e) == Refusal::kNone);
  AdmissionHold moved = std::move(a);  // a connection may wait before it begins
  CHECK(site.there.EnterListener(*site.settings, 0, a) == Refusal::kListenerFull);
  moved.Release();
  CHECK(site.there.EnterListener(*site.settings, 0, a) == Refusal::kNone);
}

TEST_CASE("admission: places of the machine are exact over its workers") {
  Site site({});
  const MachineLimits limits{.connections = 3, .handshakes = 2, .workers = 2};
  AdmissionHold a, b, c, d;
  CHECK(site.here.MachinePlaces(limits) == 2);
  CHECK(site.here.EnterMachine(limits, a) == MachineRoom::kYes);
  CHECK(site.there.EnterMachine(limits, b) == MachineRoom::kYes);
  CHECK(site.here.MachinePlaces(limits) == 0);
  CHECK(site.here.EnterMachine(limits, c) == MachineRoom::kHandshakesFull);
  CHECK(site.here.InAll(shm::Total::kConnections) == 2);  // nothing is left of the attempt
  a.EndHandshake();
  a.EndHandshake();
  CHECK(site.there.EnterMachine(limits, c) == MachineRoom::kYes);
  b.EndHandshake();
  CHECK(site.here.EnterMachine(limits, d) == MachineRoom::kConnectionsFull);
  AdmissionHold moved = std::move(a);
  a.Release();
  CHECK(site.here.EnterMachine(limits, d) == MachineRoom::kConnectionsFull);
  moved.Release();
  CHECK(site.here.EnterMachine(limits, d) == MachineRoom::kYes);
  for (AdmissionHold* hold : {&b, &c, &d}) hold->Release();
  CHECK(site.there.InAll(shm::Total::kConnections) == 0);
  CHECK(site.there.InAll(shm::Total::kHandshakes) == 0);
}

TEST_CASE("admission: who is refused is one of the machine's until the connection ends") {
  Site site({.connections = 1});
  const MachineLimits limits{.connections = 9, .handshakes = 0, .workers = 2};
  AdmissionHold a, b;
  REQUIRE(site.Enter(site.here, "192.0.2.1", a) == Refusal::kNone);
  // Behind a PROXY header the address comes when the connection has its place.
  REQUIRE(site.here.EnterMachine(limits, b) == MachineRoom::kYes);
  CHECK(site.Enter(site.here, "192.0.2.1", b) == Refusal::kAddressFull);
  CHECK(site.here.InAll(shm::Total::kConnections) == 1);
  b.Release();
  CHECK(site.here.InAll(shm::Total::kConnections) == 0);
}

TEST_CASE("admission: a worker with less than its share goes first") {
  Site site({});
  shm::WorkerCounters counters;  // of the other worker
  Admission there(site.tables[1], counters, site.timers, site.now_ms);
  const MachineLimits limits{.connections = 4, .handshakes = 0, .workers = 2};
  AdmissionHold holds[4];
  for (AdmissionHold& hold : holds) {
    REQUIRE(site.here.EnterMachine(limits, hold) == MachineRoom::kYes);
    site.counters.connections.Add();
  }
  AdmissionHold more, waits;
  CHECK(there.EnterMachine(limits, waits) == MachineRoom::kConnectionsFull);
  // A place is given up where there are more than the share: it is for the one that waits.
  holds[0].Release();
  site.counters.connections.Subtract();
  CHECK(site.here.EnterMachine(limits, more) == MachineRoom::kConnectionsFull);
  CHECK(there.EnterMachine(limits, waits) == MachineRoom::kYes);
  counters.connections.Add();
  there.StopWaiting();
  // Nobody waits: whoever comes has it.
  holds[1].Release();
  site.counters.connections.Subtract();
  CHECK(site.here.EnterMachine(limits, more) == MachineRoom::kYes);
  for (AdmissionHold& hold : holds) hold.Release();
}

TEST_CASE("admission: lists of networks") {
  Site site({.connections = 1}, {.allow = Networks({"192.0.2.0/24", "2001:db8::/32"}),
                                 .deny = Networks({"192.0.2.128/25"})});
  const std::pair<const char*, Refusal> cases[] = {{"192.0.2.1", Refusal::kNone},
                                                   {"192.0.2.129", Refusal::kDenied},
                                                   {"198.51.100.1", Refusal::kDenied},
                                                   {"2001:db8::1", Refusal::kNone},
                                                   {"2001:db9::1", Refusal::kDenied}};
  for (const auto& [ip, expected] : cases) {
    CAPTURE(ip);
    AdmissionHold hold;
    CHECK(site.Enter(site.here, ip, hold) == expected);
  }
  AdmissionHold hold;
  CHECK(site.Enter(site.here, "198.51.100.1", hold, 1) == Refusal::kNone);  // has no lists
}

TEST_CASE("admission: exempt networks have no limits of an address") {
  Site site({.connections = 1,
             .connections_per_second = 1,
             .burst = 1,
             .failures = 1,
             .exempt = Networks({"10.0.0.0/8"})});
  AdmissionHold holds[5];
  for (AdmissionHold& hold : holds) {
    CHECK(site.Enter(site.here, "10.1.2.3", hold) == Refusal::kNone);
    site.here.Failed(hold, *site.settings, Ip("10.1.2.3"), Fault::kHandshake);
  }
  CHECK(site.counters.penalties.Get() == 0);
  AdmissionHold a, b;
  CHECK(site.Enter(site.here, "11.1.2.3", a) == Refusal::kNone);
  CHECK(site.Enter(site.here, "11.1.2.3", b) == Refusal::kAddressFull);
}

TEST_CASE("admission: too many in a second") {
  Site site({.connections_per_second = 1, .burst = 3});
  for (int i = 0; i < 3; ++i) {
    AdmissionHold hold;
    CHECK(site.Enter(i == 1 ? site.there : site.here, "192.0.2.1", hold) == Refusal::kNone);
  }
  AdmissionHold hold;
  CHECK(site.Enter(site.here, "192.0.2.1", hold) == Refusal::kTooFast);
  site.now_ms += 1'000;
  CHECK(site.Enter(site.here, "192.0.2.1", hold) == Refusal::kNone);
}

TEST_CASE("admission: failures of any kind bring one pause, for all workers") {
  Site site(
      {.failures = 3, .failure_window_ms = 60'000, .penalty_ms = 10'000, .penalty_max_ms = 60'000});
  AdmissionHold hold;
  REQUIRE(site.Enter(site.here, "192.0.2.1", hold) == Refusal::kNone);
  for (const Fault fault : {Fault::kHandshake, Fault::kDialog, Fault::kLogin}) {
    site.here.Failed(hold, *site.settings, Ip("192.0.2.1"), fault);
    CHECK(site.counters.faults[static_cast<size_t>(fault)].Get() == 1);
  }
  CHECK(site.counters.penalties.Get() == 1);
  CHECK(site.log.Has("address has to pause"));
  CHECK(site.log.Has("pause=10.000"));
  AdmissionHold next;
  CHECK(site.Enter(site.there, "192.0.2.1", next) == Refusal::kPaused);
  CHECK(site.Enter(site.there, "192.0.2.2", next) == Refusal::kNone);
  site.now_ms += 10'000;
  AdmissionHold late;
  CHECK(site.Enter(site.there, "192.0.2.1", late) == Refusal::kNone);
}

TEST_CASE("admission: a flood of refusals is none of log lines") {
  Site site({});
  const generation::ListenerSettings& listener = site.settings->listeners()[0];
  for (int i = 0; i < 1'000; ++i) {
    site.here.Refused(listener, Ip("192.0.2.1"), Refusal::kAddressFull);
  }
  CHECK(Count(site.log.text, "connection refused") == 1);
  CHECK(site.counters.refused[static_cast<size_t>(Refusal::kAddressFull)].Get() == 1'000);
  for (int i = 0; i < 200; ++i) {
    site.here.Refused(listener, Ip(("198.51.100." + std::to_string(i)).c_str()), Refusal::kTooFast);
  }
  CHECK(Count(site.log.text, "connection refused") == 5);
  site.now_ms += 10'100;
  site.timers.Advance(site.now_ms);
  CHECK(site.log.Has("refusals without a line of their own\" count=196"));
  // The address that came so often is told of again after a minute, with what there was since.
  site.now_ms += 60'000;
  site.here.Refused(listener, Ip("192.0.2.1"), Refusal::kAddressFull);
  CHECK(site.log.Has("refusals=1000"));
}

TEST_CASE("admission: words are said where plain text is spoken first") {
  generation::ListenerSettings listener;
  listener.service = config::Service::kSmtp;
  listener.tls = config::TlsMode::kStartTls;
  CHECK(RefusalWords(listener, Refusal::kAddressFull).starts_with("421 4.7.0 "));
  CHECK(RefusalWords(listener, Refusal::kPaused).starts_with("421 4.7.0 "));
  CHECK(RefusalWords(listener, Refusal::kDenied).starts_with("554 5.7.1 "));
  listener.service = config::Service::kHttp;
  listener.tls = config::TlsMode::kOff;
  CHECK(RefusalWords(listener, Refusal::kListenerFull).starts_with("HTTP/1.1 503 "));
  CHECK(RefusalWords(listener, Refusal::kPaused).starts_with("HTTP/1.1 429 "));
  for (const auto tls : {config::TlsMode::kImplicit, config::TlsMode::kAuto}) {
    listener.tls = tls;
    CHECK(RefusalWords(listener, Refusal::kDenied).empty());
  }
}

}  // namespace postern::session
