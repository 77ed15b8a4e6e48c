// Lists of networks in the configuration.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "postern/os/network.h"
#include "sections.h"

namespace postern::config {

struct PlacedNetwork {
  os::Network network;
  std::string text;  // as written
  Where where;
  bool all = false;  // every address of IPv4, or of IPv6
};

// ReadNetworks reads the list `key`; what is no network is reported and left out. `may_be_empty`:
// as TableReader::Texts has it.
std::vector<PlacedNetwork> ReadNetworks(Reading& reading, TableReader& table, std::string_view key,
                                        bool may_be_empty = false);

}  // namespace postern::config
