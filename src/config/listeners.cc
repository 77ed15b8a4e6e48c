// [listeners.NAME] and [backends.NAME]. toml++ keeps tables in the order of their names; they are
// put back in the order of the file, which is the order of everything that Postern shows.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "access.h"
#include "endpoint.h"
#include "postern/config/suggest.h"
#include "proxy.h"
#include "sections.h"
#include "services.h"

namespace postern::config {
namespace {

std::vector<Choice<Service>> ServiceChoices() {
  std::vector<Choice<Service>> choices;
  for (const ServiceFacts& facts : AllServices()) choices.push_back({facts.name, facts.service});
  return choices;
}

void ReadAddresses(Reading& reading, TableReader& table, Listener& listener) {
  table.Require("address",
                "add address = \"*\" for every address of this machine, or name single ones");
  uint32_t port = 0;
  const bool port_given = table.Has("port");
  table.Integer("port", port, {1, 65'535});
  bool port_missing = false;
  for (const PlacedText& text : table.Texts("address")) {
    auto address = ParseListenAddress(text.text);
    if (!address.has_value()) {
      reading.reporter.Fault(text.where, std::move(address.error().what),
                             std::move(address.error().remedy));
      continue;
    }
    address->where = text.where;
    if (address->port == 0) {
      address->port = static_cast<uint16_t>(port);
      port_missing |= !port_given;
    }
    // Without a valid port (reported) there is nothing to compare it with.
    if (address->port != 0) listener.addresses.push_back(std::move(*address));
  }
  if (port_missing || (!port_given && !table.Has("address"))) {
    table.Require("port", "add port = NUMBER, for example 993 for IMAP over TLS");
  }
}

void ReadBackendName(Reading& reading, TableReader& table, Listener& listener) {
  table.Require("backend", "add backend = \"NAME\" for a table [backends.NAME]");
  if (!table.Text("backend", listener.backend)) return;
  const std::vector<Backend>& backends = reading.config.backends;
  const auto known = [&](const Backend& backend) { return backend.name == listener.backend; };
  if (std::any_of(backends.begin(), backends.end(), known)) return;
  // Nobody reads a suggestion in a machine-made file with thousands of back ends.
  constexpr size_t kMostToCompare = 1000;
  std::vector<std::string_view> names;
  for (const Backend& backend : backends) {
    if (names.size() < kMostToCompare) names.push_back(backend.name);
  }
  const std::string_view near = Nearest(listener.backend, names);
  reading.reporter.Missing(
      table.WhereOfValue("backend"),
      fmt::format("the back end {} of {} is not defined", Quote(listener.backend), table.name()),
      !near.empty() ? fmt::format("did you mean {}?", Quote(near))
      : names.empty()
          ? "add a table [backends.NAME] with its servers, and name it here"
          : fmt::format("add a table [backends.NAME], or name one of {}",
                        QuoteList(std::span(names).first(std::min<size_t>(names.size(), 10)))));
}

Listener ReadListener(Reading& reading, const std::string& name, const toml::table& node,
                      const Timeouts& defaults) {
  TableReader table(node, fmt::format("[listeners.{}]", name), reading.reporter);
  Listener listener;
  listener.name = name;
  listener.where = table.where();
  listener.timeouts = defaults;
  listener.policy = reading.config.default_policy;
  ReadAddresses(reading, table, listener);
  const std::vector<Choice<Service>> services = ServiceChoices();
  std::vector<std::string_view> names;
  for (const Choice<Service>& choice : services) names.push_back(choice.name);
  table.Require("service", fmt::format("add service = {}", QuoteList(names)));
  const bool service_known = table.OneOf<Service>("service", listener.service, services);
  ReadPolicyName(reading, table, listener.policy);
  listener.strict_sni = reading.config.certificates.strict_sni;
  table.Bool("strict_sni", listener.strict_sni);
  ReadClientCertificates(reading, table, listener.clients);
  ReadListenerTls(reading, table, listener, service_known);
  ReadProxyIn(reading, table, listener.proxy);
  ReadBackendName(reading, table, listener);
  table.Duration("handshake_timeout", listener.timeouts.handshake_ms, kHandshakeRange);
  table.Duration("idle_timeout", listener.timeouts.idle_ms, kIdleRange);
  table.Duration("first_byte_timeout", listener.timeouts.first_byte_ms, kHandshakeRange);
  table.Duration("unread_timeout", listener.timeouts.unread_ms, kUnreadRange);
  ReadListenerAccess(reading, table, listener.access);
  if (listener.timeouts.idle_ms == 0) listener.timeouts.idle_ms = FactsOf(listener.service).idle_ms;
  table.Finish();
  return listener;
}

Backend ReadBackend(Reading& reading, const std::string& name, const toml::table& node) {
  TableReader table(node, fmt::format("[backends.{}]", name), reading.reporter);
  Backend backend;
  backend.name = name;
  backend.where = table.where();
  table.Require("servers", "add servers = [\"host:port\"], for example [\"127.0.0.1:143\"]");
  for (const PlacedText& text : table.Texts("servers")) {
    auto server = ParseServer(text.text);
    if (!server.has_value()) {
      reading.reporter.Fault(text.where, std::move(server.error().what),
                             std::move(server.error().remedy));
      continue;
    }
    server->where = text.where;
    backend.servers.push_back(std::move(*server));
  }
  table.Duration("connect_timeout", backend.connect_timeout_ms, {100, 300'000});
  table.Duration("greeting_timeout", backend.greeting_timeout_ms, {100, 300'000});
  table.Bool("ehlo_probe", backend.ehlo_probe);
  ReadProxyOut(table, backend.proxy);
  ReadIdentification(table, backend);
  ReadBackendTls(reading, table, backend);
  table.Finish();
  return backend;
}

}  // namespace

std::vector<std::pair<std::string, const toml::table*>> NamedTables(Reading& reading,
                                                                    std::string_view section,
                                                                    std::string_view of_what) {
  std::vector<std::pair<std::string, const toml::table*>> found;
  const std::string remedy = fmt::format("begin each {} with a line [{}.NAME]", of_what, section);
  const auto* tables = reading.root.Child<toml::table>(section, "a table of tables", remedy);
  if (tables == nullptr) return found;
  for (const auto& [key, node] : *tables) {
    const Where where = WhereOf(key, reading.reporter);
    if (const toml::table* table = node.as_table(); table == nullptr) {
      reading.reporter.Fault(where,
                             fmt::format("{} in [{}] is {}, it has to be a table", Quote(key.str()),
                                         section, TypeName(node)),
                             remedy);
    } else if (CheckName(key.str(), of_what, where, reading.reporter)) {
      found.emplace_back(key.str(), table);
    }
  }
  const auto place = [&](const toml::table* table) {
    const Where where = WhereOf(*table, reading.reporter);
    return std::tuple(where.line, where.column);
  };
  std::stable_sort(found.begin(), found.end(),
                   [&](const auto& a, const auto& b) { return place(a.second) < place(b.second); });
  return found;
}

void ReadListeners(Reading& reading, const Timeouts& defaults) {
  for (const auto& [name, table] : NamedTables(reading, "listeners", "listener")) {
    reading.config.listeners.push_back(ReadListener(reading, name, *table, defaults));
  }
}

void ReadBackends(Reading& reading) {
  for (const auto& [name, table] : NamedTables(reading, "backends", "back end")) {
    reading.config.backends.push_back(ReadBackend(reading, name, *table));
  }
}

}  // namespace postern::config
