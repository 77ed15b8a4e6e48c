#include "postern/relay/backend_picker.h"

#include "tests/unit/catch.h"

namespace postern::relay {
namespace {

struct Servers {
  os::SocketAddress a1 = *os::SocketAddress::FromIp("192.0.2.1", 143);
  os::SocketAddress a2 = *os::SocketAddress::FromIp("2001:db8::1", 143);
  os::SocketAddress b = *os::SocketAddress::FromIp("192.0.2.2", 143);
  os::SocketAddress c = *os::SocketAddress::FromIp("192.0.2.3", 143);

  std::vector<Candidate> All() const { return {{"a", &a1}, {"a", &a2}, {"b", &b}, {"c", &c}}; }
};

std::string Names(const std::vector<Candidate>& candidates) {
  std::string names;
  for (const Candidate& candidate : candidates) names += candidate.server;
  return names;
}

}  // namespace

TEST_CASE("backend picker: round robin over servers, whose addresses stay together") {
  const Servers servers;
  BackendPicker picker;
  std::string first;
  for (const char* expected : {"aabc", "bcaa", "caab", "aabc"}) {
    auto candidates = servers.All();
    picker.Order("imap", candidates, 0);
    CHECK(Names(candidates) == expected);
  }
  auto other = servers.All();
  picker.Order("pop3", other, 0);  // each back end has its own turn
  CHECK(Names(other) == "aabc");
}

TEST_CASE("backend picker: who failed is tried last, for a while") {
  const Servers servers;
  BackendPicker picker;
  picker.Failed(servers.a1, 1'000);
  auto candidates = servers.All();
  picker.Order("x", candidates, 1'001);
  CHECK(Names(candidates) == "abca");
  CHECK(candidates[0].address == &servers.a2);
  CHECK(candidates[3].address == &servers.a1);

  auto later = servers.All();
  picker.Order("y", later, 1'000 + BackendPicker::kPenaltyMs);
  CHECK(later[0].address == &servers.a1);

  picker.Failed(servers.b, 2'000);
  picker.Succeeded(servers.b);
  auto healed = servers.All();
  picker.Order("z", healed, 2'001);
  CHECK(Names(healed) == "abca");  // a1 is still under its penalty, b no more
}

}  // namespace postern::relay
