// Checks across tables. Faults are what cannot serve; warnings what serves, but hardly as meant.
#include "checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "duration.h"
#include "endpoint.h"
#include "postern/base/limits.h"
#include "postern/config/suggest.h"
#include "services.h"

namespace postern::config {
namespace {

struct Bound {
  const Listener* listener;
  const ListenAddress* address;
};
using BoundAddresses = std::map<std::pair<uint16_t, std::string>, Bound>;

// What would take `address`'s connections too: the same address and port, or a wildcard where one
// of the two is dual stack. A wildcard beside a single address is no clash: the kernel gives a
// connection to the single address.
const Bound* FindClash(const BoundAddresses& bound, const ListenAddress& address) {
  if (const auto it = bound.find({address.port, address.ip}); it != bound.end()) return &it->second;
  if (address.dual_stack) {
    const auto it = bound.find({address.port, "0.0.0.0"});
    return it == bound.end() ? nullptr : &it->second;
  }
  if (address.ip == "0.0.0.0") {
    const auto it = bound.find({address.port, "::"});
    return it == bound.end() || !it->second.address->dual_stack ? nullptr : &it->second;
  }
  return nullptr;
}

std::string Shown(const ListenAddress& address) {
  if (address.dual_stack) return fmt::format("*:{}", address.port);
  const bool v6 = address.ip.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", address.ip, address.port)
            : fmt::format("{}:{}", address.ip, address.port);
}

void CheckAddresses(const Config& config, Reporter& reporter) {
  BoundAddresses bound;
  for (const Listener& listener : config.listeners) {
    for (const ListenAddress& address : listener.addresses) {
      if (const Bound* other = FindClash(bound, address); other != nullptr) {
        const bool same = other->listener == &listener;
        reporter.Fault(address.where,
                       fmt::format("{} of [listeners.{}] is taken by {} of {} on line {}",
                                   Shown(address), listener.name, Shown(*other->address),
                                   same ? "the same listener"
                                        : fmt::format("[listeners.{}]", other->listener->name),
                                   other->address->where.line),
                       same ? "remove one of the two" : "give one of them another address or port");
        continue;
      }
      bound.emplace(std::pair(address.port, address.ip), Bound{&listener, &address});
    }
  }
}

void CheckLoops(const Config& config, Reporter& reporter) {
  std::map<uint16_t, std::vector<Bound>> by_port;
  for (const Listener& listener : config.listeners) {
    for (const ListenAddress& address : listener.addresses) {
      by_port[address.port].push_back({&listener, &address});
    }
  }
  for (const Backend& backend : config.backends) {
    for (const Server& server : backend.servers) {
      const auto it = by_port.find(server.port);
      if (it == by_port.end()) continue;
      for (const Bound& bound : it->second) {
        if (!LeadsTo(server, *bound.address)) continue;
        reporter.Fault(server.where,
                       fmt::format("the server {} of [backends.{}] is [listeners.{}] itself",
                                   Quote(server.text), backend.name, bound.listener->name),
                       "name the address and port where the mail server listens");
        break;
      }
    }
  }
}

// Ports on which clients expect what the listener does not do, and plain text for everybody.
void WarnAboutAddress(const Listener& listener, const ListenAddress& address, Reporter& reporter) {
  const PlainPort* plain = FindPlainPort(address.port);
  const TlsPort* tls = FindTlsPort(address.port);
  const bool known = listener.service != Service::kRaw;
  if (listener.tls == TlsMode::kImplicit && plain != nullptr && known) {
    const bool starttls = HasStartTls(listener.service);
    reporter.Warn(
        address.where,
        fmt::format("[listeners.{}] begins with TLS on port {}, which is for {}", listener.name,
                    address.port, plain->what),
        fmt::format("use port {}{}", plain->instead, starttls ? ", or tls = \"starttls\"" : ""));
  } else if (listener.tls == TlsMode::kStartTls && tls != nullptr) {
    reporter.Warn(address.where,
                  fmt::format("[listeners.{}] begins in plain text on port {}, which is for {}",
                              listener.name, address.port, tls->what),
                  fmt::format("use port {}, or tls = \"implicit\"", tls->instead));
  } else if (listener.tls == TlsMode::kOff && !IsLoopback(address)) {
    reporter.Warn(address.where,
                  fmt::format("[listeners.{}] takes plain text from the network on {}",
                              listener.name, Shown(address)),
                  "let it listen on \"127.0.0.1\" alone, or choose another tls");
  }
}

void WarnAboutListener(const Listener& listener, Reporter& reporter) {
  const ServiceFacts& facts = FactsOf(listener.service);
  if (listener.timeouts.idle_ms < facts.least_idle_ms) {
    reporter.Warn(
        listener.where,
        fmt::format("the idle timeout {} of [listeners.{}] is shorter than the {} of {}",
                    DurationText(listener.timeouts.idle_ms), listener.name,
                    DurationText(facts.least_idle_ms), facts.rule),
        fmt::format("set idle_timeout to {} or more", Quote(DurationText(facts.least_idle_ms))));
  }
  for (const ListenAddress& address : listener.addresses) {
    WarnAboutAddress(listener, address, reporter);
  }
  if (listener.tls == TlsMode::kAuto && listener.require_tls && listener.service == Service::kRaw) {
    reporter.Warn(listener.where,
                  fmt::format("[listeners.{}] has tls = \"auto\", but lets in nobody without TLS",
                              listener.name),
                  "set require_tls to false, or tls to \"implicit\"");
  }
}

void WarnAboutTickets(const Tickets& tickets, Reporter& reporter) {
  constexpr uint64_t kPreviousKeys = limits::kTicketKeys - 1;
  if (!tickets.files.empty()) return;  // whoever makes the files rotates them
  if (!tickets.enabled || tickets.lifetime_s <= kPreviousKeys * tickets.rotate_s) return;
  reporter.Warn(tickets.where,
                fmt::format("tickets live for {}, their keys only for {}",
                            DurationText(tickets.lifetime_s * 1000),
                            DurationText(kPreviousKeys * tickets.rotate_s * 1000)),
                fmt::format("in [tickets] set rotate to a third of lifetime or more: {}",
                            Quote(DurationText((tickets.lifetime_s + 2) / kPreviousKeys * 1000))));
}

void WarnAboutBackends(const Config& config, Reporter& reporter) {
  std::set<std::string_view> used;
  for (const Listener& listener : config.listeners) used.insert(listener.backend);
  for (const Backend& backend : config.backends) {
    if (!used.contains(backend.name)) {
      reporter.Warn(backend.where, fmt::format("no listener uses [backends.{}]", backend.name),
                    "remove it, or name it as the backend of a listener");
    }
    std::set<std::string_view> servers;
    for (const Server& server : backend.servers) {
      if (servers.insert(server.text).second) continue;
      reporter.Warn(server.where,
                    fmt::format("the server {} stands twice in [backends.{}]", Quote(server.text),
                                backend.name),
                    "remove one of the two");
    }
  }
}

void WarnAboutPolicies(const Config& config, Reporter& reporter) {
  for (const Policy& policy : config.policies) {
    const auto uses = [&](const Listener& listener) { return listener.policy == policy.name; };
    if (policy.where.line == 0 || std::ranges::any_of(config.listeners, uses)) continue;
    reporter.Warn(policy.where, fmt::format("no listener uses [policies.{}]", policy.name),
                  "remove it, or name it as policy in [tls] or in a listener");
  }
}

}  // namespace

void CheckWhole(const Config& config, Reporter& reporter) {
  for (const Listener& listener : config.listeners) WarnAboutListener(listener, reporter);
  CheckAddresses(config, reporter);
  CheckLoops(config, reporter);
  CheckBackendStartTls(config, reporter);
  CheckIdentification(config, reporter);
  WarnAboutBackends(config, reporter);
  WarnAboutPolicies(config, reporter);
  WarnAboutTickets(config.tickets, reporter);
}

}  // namespace postern::config
