// What the configuration knows of each service: names, defaults, what its RFC asks for.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "postern/config/config.h"

namespace postern::config {

struct ServiceFacts {
  Service service;
  std::string_view name;
  uint64_t idle_ms;        // the default
  uint64_t least_idle_ms;  // below it clients lose connections they may count on; 0: no rule
  std::string_view rule;   // where that stands
};

std::span<const ServiceFacts> AllServices();
const ServiceFacts& FactsOf(Service service);
// Whether the service has a command that begins TLS (RFC 9051, 2595, 3207, 5804).
bool HasStartTls(Service service);
// Whether a server can be told by the service's own commands who the client is (XCLIENT, ID).
bool HasIdentification(Service service);
// Whether it has words for the user that the client is, too (XCLIENT's LOGIN).
bool HasLoginXclient(Service service);

// PlainPort is what `port` is when clients begin without TLS there, with the port that they expect
// implicit TLS on; null when there is nothing to say.
struct PlainPort {
  uint16_t port;
  std::string_view what;
  std::string_view instead;
};
const PlainPort* FindPlainPort(uint16_t port);

// TlsPort is the reverse: what `port` is when clients begin with TLS there.
struct TlsPort {
  uint16_t port;
  std::string_view what;
  uint16_t instead;  // where they begin without
};
const TlsPort* FindTlsPort(uint16_t port);

}  // namespace postern::config
