// The keys of a listener that ask clients for a certificate.
#include <fmt/format.h>

#include <array>

#include "postern/config/suggest.h"
#include "sections.h"

namespace postern::config {
namespace {

constexpr std::array<Choice<ClientMode>, 3> kModes = {{
    {"off", ClientMode::kOff},
    {"optional", ClientMode::kOptional},
    {"required", ClientMode::kRequired},
}};

}  // namespace

std::string_view ToString(ClientMode mode) {
  for (const Choice<ClientMode>& choice : kModes) {
    if (choice.value == mode) return choice.name;
  }
  return "unknown";
}

void ReadClientCertificates(Reading& reading, TableReader& table, ClientCertificates& clients) {
  table.OneOf<ClientMode>("client_certificates", clients.mode, kModes);
  if (ReadPath(reading, table, "client_ca", clients.ca)) {
    clients.ca_where = table.WhereOfValue("client_ca");
  }
  for (const PlacedText& text : table.Texts("client_crl")) {
    clients.crl_where = table.WhereOfValue("client_crl");
    if (text.text.empty()) {
      reading.reporter.Fault(text.where, fmt::format("client_crl in {} is empty", table.name()),
                             "write a path, or remove the key");
    } else {
      clients.crls.push_back(ResolvePath(reading, text.text));
    }
  }
  // RFC 5280 section 6.1 sets no bound; ten are more than any public hierarchy has.
  table.Integer("client_depth", clients.depth, {0, 10});
  if (clients.mode != ClientMode::kOff) {
    table.Require("client_ca",
                  "add client_ca = \"FILE\", the PEM file of the authorities whose clients are "
                  "to be let in");
    return;
  }
  for (const std::string_view key : {"client_ca", "client_crl", "client_depth"}) {
    if (!table.Has(key)) continue;
    reading.reporter.Fault(
        table.WhereOfValue(key),
        fmt::format("{} in {} is of no use while client_certificates is \"off\"", key,
                    table.name()),
        "add client_certificates = \"required\" (or \"optional\"), or remove the key");
    return;
  }
}

}  // namespace postern::config
