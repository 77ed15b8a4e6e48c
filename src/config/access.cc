// [limits], and what of it a listener may have for itself. Nothing limits single addresses unless
// told to: behind one address there may be a webmail server or half a town.
#include "access.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "networks.h"
#include "postern/base/limits.h"

namespace postern::config {
namespace {

constexpr Range kConnections{1, 10'000'000};
constexpr Range kOrNone{0, 10'000'000};
constexpr Range kPerSecond{0, 100'000};
// As many as the table's words can count.
constexpr Range kFailures{0, 4'000};
constexpr Range kPause{1'000, 86'400'000};
// Room for clients that open a connection per folder, after a second's pause.
constexpr uint32_t kBurstSeconds = 10;

// Nobody is denied by an empty list, and nobody exempt. That an empty `allow` lets everybody in, or
// nobody, is not to be guessed: it is a fault.
std::vector<os::Network> NetworksOf(Reading& reading, TableReader& table, std::string_view key) {
  std::vector<os::Network> networks;
  for (const PlacedNetwork& network : ReadNetworks(reading, table, key, key != "allow")) {
    networks.push_back(network.network);
  }
  return networks;
}

void ReadRate(Reading& reading, TableReader& table, AddressLimits& limits) {
  table.Integer("connections_per_second_per_address", limits.connections_per_second, kPerSecond);
  if (!table.Integer("burst_per_address", limits.burst, kConnections)) {
    limits.burst = limits.connections_per_second * kBurstSeconds;
  } else if (limits.connections_per_second == 0) {
    reading.reporter.Fault(
        table.WhereOfValue("burst_per_address"),
        "burst_per_address in [limits] is of no use without connections_per_second_per_address",
        "add connections_per_second_per_address, or remove burst_per_address");
  }
}

void ReadPenalty(Reading& reading, TableReader& table, AddressLimits& limits) {
  table.Integer("failures_per_address", limits.failures, kFailures);
  table.Duration("failure_window", limits.failure_window_ms, kPause);
  table.Duration("penalty", limits.penalty_ms, kPause);
  table.Duration("penalty_max", limits.penalty_max_ms, kPause);
  if (limits.penalty_max_ms < limits.penalty_ms) {
    const bool set = table.Has("penalty_max");
    reading.reporter.Fault(
        table.WhereOfValue(set ? "penalty_max" : "penalty"),
        fmt::format("penalty in [limits] is longer than penalty_max{}", set ? "" : ", one hour"),
        "pauses grow from penalty to penalty_max: make penalty_max the longer one");
  }
}

void ReadBuffers(Reading& reading, TableReader& table, uint32_t& buffers) {
  // A provided-buffer ring takes a power of two, at most 32,768 (io_uring_register_buf_ring(3)).
  if (table.Integer("buffers", buffers, {16, 32'768}) && !std::has_single_bit(buffers)) {
    reading.reporter.Fault(
        table.WhereOfValue("buffers"),
        fmt::format("buffers = {} in [limits] is no power of two", buffers),
        fmt::format("write {} or {}", std::bit_floor(buffers), std::bit_ceil(buffers)));
  }
}

}  // namespace

void ReadLimits(Reading& reading) {
  const toml::table* node = Section(reading, "limits");
  if (node == nullptr) return;
  TableReader table(*node, "[limits]", reading.reporter);
  Limits& limits = reading.config.limits;
  table.Integer("connections", limits.connections, kConnections);
  table.Integer("handshakes", limits.handshakes, kOrNone);
  ReadBuffers(reading, table, limits.buffers);
  table.Integer("connections_per_address", limits.of_address.connections, kOrNone);
  ReadRate(reading, table, limits.of_address);
  ReadPenalty(reading, table, limits.of_address);
  limits.allow = NetworksOf(reading, table, "allow");
  limits.deny = NetworksOf(reading, table, "deny");
  limits.of_address.exempt = NetworksOf(reading, table, "exempt");
  table.Integer("addresses", limits.addresses, {1'024, limits::kMaxAddresses});
  table.Integer("memory_reserve_mib", limits.memory_reserve_mib, {0, 1'048'576});
  table.Finish();
}

void ReadListenerAccess(Reading& reading, TableReader& table, ListenerAccess& access) {
  table.Integer("connections", access.connections, kOrNone);
  table.Integer("connections_per_address", access.connections_per_address, kOrNone);
  const Limits& limits = reading.config.limits;
  access.allow = NetworksOf(reading, table, "allow");
  access.deny = NetworksOf(reading, table, "deny");
  if (!table.Has("allow")) access.allow = limits.allow;
  if (!table.Has("deny")) access.deny = limits.deny;
}

}  // namespace postern::config
