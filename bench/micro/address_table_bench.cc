// What the table of client addresses costs a connection: in and out again, with as many addresses
// as the table is made for, so that the caches miss.
#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

#include "postern/os/socket_address.h"
#include "postern/shm/address_table.h"
#include "verify.h"

namespace postern::bench {
namespace {

struct Tables {
  explicit Tables(uint32_t workers)
      : master(std::move(*shm::AddressTableMaster::Create(65'536, workers))),
        table(std::move(*shm::AddressTable::Map(master.fd(), 0))) {
    for (uint32_t i = 0; i < 32'768; ++i) {
      const std::string ip = "10." + std::to_string(i >> 16) + '.' + std::to_string(i >> 8 & 255) +
                             '.' + std::to_string(i & 255);
      clients.push_back(*os::SocketAddress::FromIp(ip, 1));
    }
  }
  shm::AddressTableMaster master;
  shm::AddressTable table;
  std::vector<os::SocketAddress> clients;
};

// All that Admission asks of the table, for a connection that is let in and ends.
void AddressTableConnection(benchmark::State& state) {
  Tables tables(static_cast<uint32_t>(state.range(0)));
  uint32_t at = 0;
  for (auto _ : state) {
    const auto key = shm::AddressKey::OfClient(tables.clients[at * 7919 & 32'767]);
    const uint32_t slot = tables.table.Enter(*key, 1'000);
    bool in = tables.table.PausedUntilMs(slot, 1'000) == 0;
    in &= tables.table.Connections(slot) < 100;
    in &= tables.table.TakeToken(slot, 100'000, 1'000'000, 1'000);
    if (!in) return Wrong(state, "a connection that may come was not let in");
    tables.table.Leave(slot, 1'000);
    ++at;
  }
  PerCore(state);
}
BENCHMARK(AddressTableConnection)->Arg(1)->Arg(8)->Arg(64)->ArgName("workers");

}  // namespace
}  // namespace postern::bench
