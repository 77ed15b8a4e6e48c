// A network with bits behind its prefix is a fault: whoever wrote "10.0.0.1/8" meant something
// else, and a list that keeps people out or lets them in must not guess what.
#include "networks.h"

#include <fmt/format.h>

#include "postern/base/limits.h"
#include "postern/config/suggest.h"

namespace postern::config {

std::vector<PlacedNetwork> ReadNetworks(Reading& reading, TableReader& table, std::string_view key,
                                        bool may_be_empty) {
  constexpr uint32_t kAllOfIpv4 = 96;  // mapped into IPv6
  std::vector<PlacedNetwork> networks;
  for (const PlacedText& text : table.Texts(key, may_be_empty)) {
    const auto network = os::Network::Parse(text.text);
    if (!network) {
      reading.reporter.Fault(
          text.where, fmt::format("{} is no network", Quote(text.text)),
          "write an address or a network such as \"192.0.2.7\", \"10.0.0.0/8\" or "
          "\"2001:db8::/32\", with no bit set behind the prefix");
      continue;
    }
    const bool all =
        network->prefix == 0 || (network->prefix == kAllOfIpv4 && text.text.contains('.'));
    networks.push_back({*network, text.text, text.where, all});
  }
  if (networks.size() > limits::kMaxNetworks) {
    reading.reporter.Fault(
        table.WhereOfValue(key),
        fmt::format("{} in {} names {} networks", key, table.name(), networks.size()),
        fmt::format("name at most {}; for more of them use a packet filter (nftables sets)",
                    limits::kMaxNetworks));
  }
  return networks;
}

}  // namespace postern::config
