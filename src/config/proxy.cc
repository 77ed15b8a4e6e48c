// A listener that believes headers must say from whom: a header believed from anybody lets anybody
// be anybody. There is no "if present" either, for the same reason: the specification's section 2
// forbids to guess.
#include "proxy.h"

#include <fmt/format.h>

#include <array>

#include "checks.h"
#include "networks.h"
#include "postern/config/suggest.h"
#include "services.h"

namespace postern::config {
namespace {

constexpr std::array<Choice<ProxyIn>, 4> kIn = {{
    {"off", ProxyIn::kOff},
    {"v1", ProxyIn::kVersion1},
    {"v2", ProxyIn::kVersion2},
    {"any", ProxyIn::kAny},
}};
constexpr std::array<Choice<ProxyOut>, 4> kOut = {{
    {"off", ProxyOut::kOff},
    {"v1", ProxyOut::kVersion1},
    {"v2", ProxyOut::kVersion2},
    {"v2-tls", ProxyOut::kVersion2Tls},
}};
constexpr std::array<Choice<LoginSource>, 3> kLogins = {{
    {"off", LoginSource::kNone},
    {"common-name", LoginSource::kCommonName},
    {"email", LoginSource::kEmail},
}};
constexpr Range kTimeoutRange{100, 60'000};

// Whoever is in a list of all addresses is believed to be anybody.
void WarnOfEverybody(Reading& reading, const TableReader& table, const PlacedNetwork& network) {
  if (!network.all) return;
  reading.reporter.Warn(network.where,
                        fmt::format("with {} in proxy_from of {} anybody may claim any address",
                                    Quote(network.text), table.name()),
                        "name only the networks that the proxies are in");
}

// A login is told by SMTP's XCLIENT, of clients with a certificate.
void CheckLogin(const Backend& backend, const Config& config, Reporter& reporter) {
  if (backend.identify_login == LoginSource::kNone) return;
  if (!backend.identify_clients) {
    reporter.Fault(
        backend.login_where,
        fmt::format("identify_login in [backends.{}] without identify_clients", backend.name),
        "add identify_clients = true, or remove identify_login");
    return;
  }
  for (const Listener& listener : config.listeners) {
    if (listener.backend != backend.name) continue;
    if (!HasLoginXclient(listener.service)) {
      reporter.Fault(
          backend.login_where,
          fmt::format("identify_login in [backends.{}], but [listeners.{}] uses it for service {}",
                      backend.name, listener.name, Quote(ToString(listener.service))),
          "logins are told to servers of smtp and submission; give the listener another back end");
    } else if (listener.clients.mode == ClientMode::kOff) {
      reporter.Warn(
          backend.login_where,
          fmt::format("identify_login in [backends.{}], but [listeners.{}] asks clients for no "
                      "certificate, so nobody is logged in there",
                      backend.name, listener.name),
          "add client_certificates = \"required\" or \"optional\" to the listener");
    }
  }
}

}  // namespace

void ReadProxyIn(Reading& reading, TableReader& table, ProxyAcceptance& proxy) {
  table.OneOf<ProxyIn>("proxy_protocol", proxy.in, kIn);
  for (const PlacedNetwork& network : ReadNetworks(reading, table, "proxy_from")) {
    WarnOfEverybody(reading, table, network);
    proxy.from.push_back(network.network);
  }
  table.Duration("proxy_timeout", proxy.timeout_ms, kTimeoutRange);
  if (proxy.in != ProxyIn::kOff) {
    const std::string_view remedy =
        "add proxy_from = [\"192.0.2.7\"] with the addresses of the proxies: their headers are "
        "believed, and nobody else is let in";
    table.Require("proxy_from", remedy);
    if (table.Has("proxy_from") && proxy.from.empty() && !reading.reporter.failed()) {
      reading.reporter.Fault(table.WhereOfValue("proxy_from"), "proxy_from names nobody",
                             std::string(remedy));
    }
  } else if (table.Has("proxy_from") && !table.Has("proxy_protocol")) {
    reading.reporter.Fault(table.WhereOfValue("proxy_from"),
                           fmt::format("{} has proxy_from without proxy_protocol", table.name()),
                           "add proxy_protocol = \"v1\", \"v2\" or \"any\", or remove proxy_from");
  }
}

void ReadProxyOut(TableReader& table, ProxyOut& proxy) {
  table.OneOf<ProxyOut>("proxy_protocol", proxy, kOut);
}

void ReadIdentification(TableReader& table, Backend& backend) {
  table.Bool("identify_clients", backend.identify_clients);
  backend.identify_where = table.WhereOfValue("identify_clients");
  table.OneOf<LoginSource>("identify_login", backend.identify_login, kLogins);
  backend.login_where = table.WhereOfValue("identify_login");
}

// Who the client is can be said in some services' words alone.
void CheckIdentification(const Config& config, Reporter& reporter) {
  for (const Backend& backend : config.backends) {
    CheckLogin(backend, config, reporter);
    if (!backend.identify_clients) continue;
    for (const Listener& listener : config.listeners) {
      if (listener.backend != backend.name || HasIdentification(listener.service)) continue;
      reporter.Fault(
          backend.identify_where,
          fmt::format("identify_clients in [backends.{}], but [listeners.{}] uses it for service "
                      "{}, which has no words for that",
                      backend.name, listener.name, Quote(ToString(listener.service))),
          "use proxy_protocol instead, or give the listener another back end");
    }
  }
}

}  // namespace postern::config
