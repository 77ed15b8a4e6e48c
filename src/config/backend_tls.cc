// The keys of a back end that are about TLS. A key that does nothing is a fault: whoever wrote
// tls_ca and forgot tls believes that mail goes out encrypted.
#include "postern/config/backend_tls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "checks.h"
#include "endpoint.h"
#include "postern/config/suggest.h"
#include "sections.h"
#include "services.h"

namespace postern::config {
namespace {

constexpr std::array<Choice<BackendTlsMode>, 3> kModes = {{
    {"off", BackendTlsMode::kOff},
    {"implicit", BackendTlsMode::kImplicit},
    {"starttls", BackendTlsMode::kStartTls},
}};
constexpr std::array<Choice<uint16_t>, 4> kVersions = {{
    {"TLSv1.3", 0x0304},
    {"TLSv1.2", 0x0303},
    {"TLSv1.1", 0x0302},
    {"TLSv1", 0x0301},
}};

std::string_view WithoutDot(std::string_view name) {
  if (name.size() > 1 && name.ends_with('.')) name.remove_suffix(1);
  return name;
}

void ReadName(Reading& reading, TableReader& table, BackendTls& tls) {
  std::string name;
  if (!table.Text("tls_name", name)) return;
  if (const auto ip = CanonicalIp(name)) {
    tls.name = ip->substr(0, ip->find('%'));
  } else if (IsHostName(name)) {
    tls.name = WithoutDot(name);
  } else {
    reading.reporter.Fault(
        table.WhereOfValue("tls_name"),
        fmt::format("tls_name = {} in {} is no host name", Quote(name), table.name()),
        name.contains('*') ? "name one of the hosts that the certificate is for, without \"*\""
                           : "write the name that the servers' certificate is for, such as "
                             "\"imap.example.com\", without port");
  }
}

void ReadCertificate(Reading& reading, TableReader& table, BackendTls& tls) {
  ReadPath(reading, table, "tls_certificate", tls.certificate);
  ReadPath(reading, table, "tls_key", tls.key);
  tls.certificate_where = table.WhereOfValue("tls_certificate");
  tls.passphrase = reading.config.certificates.passphrase;
  ReadPassphraseSource(reading, table, "tls_passphrase", tls.passphrase);
  const bool certificate = table.Has("tls_certificate");
  const bool key = table.Has("tls_key");
  if (certificate && !key) {
    table.Require("tls_key",
                  "add tls_key = \"FILE\", the PEM file with the certificate's private key");
  } else if (key && !certificate) {
    table.Require("tls_certificate",
                  "add tls_certificate = \"FILE\", a PEM file with the certificate for this key");
  } else if (!key && table.Has("tls_passphrase")) {
    reading.reporter.Fault(table.WhereOfValue("tls_passphrase"),
                           fmt::format("tls_passphrase in {} has no key to open", table.name()),
                           "add tls_certificate and tls_key, or remove tls_passphrase");
  }
}

// Keys that say nothing while TLS is off.
void CheckUseless(Reading& reading, TableReader& table) {
  for (const std::string_view key : {"tls_name", "tls_verify", "tls_ca", "tls_min_version",
                                     "tls_certificate", "tls_key", "tls_passphrase"}) {
    if (!table.Has(key)) continue;
    reading.reporter.Fault(
        table.WhereOfValue(key),
        fmt::format("{} in {} is of no use while tls is \"off\"", key, table.name()),
        "add tls = \"implicit\" or \"starttls\", or remove the key");
  }
}

bool StaysHere(const Server& server) {
  return !server.unix_path.empty() || server.host == "localhost" || server.host == "::1" ||
         (server.host.starts_with("127.") && CanonicalIp(server.host).has_value());
}

void CheckVerification(Reading& reading, TableReader& table, const Backend& backend) {
  const BackendTls& tls = backend.tls;
  if (!tls.verify) {
    if (table.Has("tls_ca")) {
      reading.reporter.Fault(
          table.WhereOfValue("tls_ca"),
          fmt::format("tls_ca in {} is of no use with tls_verify = false", table.name()),
          "remove one of the two");
    }
    if (std::ranges::all_of(backend.servers, StaysHere)) return;
    reading.reporter.Warn(
        table.WhereOfValue("tls_verify"),
        fmt::format("with tls_verify = false anybody on the way can be the servers of {}, and read "
                    "passwords",
                    table.name()),
        "name the authority of their certificate, or a self-signed certificate itself, in tls_ca");
    return;
  }
  // What a table without a usable tls_name says of its servers would be wrong.
  if (table.Has("tls_name")) return;
  for (const Server& server : backend.servers) {
    if (!server.unix_path.empty()) {
      reading.reporter.Missing(
          server.where,
          fmt::format("the server {} of {} has no host name that its certificate could be checked "
                      "for",
                      Quote(server.text), table.name()),
          "add tls_name = \"NAME\", the name that the certificate is for");
    } else if (CanonicalIp(server.host).has_value()) {
      reading.reporter.Warn(
          server.where,
          fmt::format("the server {} of {} is an address, which few certificates are for",
                      Quote(server.text), table.name()),
          fmt::format(
              "add tls_name = \"NAME\", the name that its certificate is for; or tls_name = "
              "{} if it is for the address",
              Quote(server.host)));
    }
  }
}

}  // namespace

std::string_view ToString(BackendTlsMode mode) {
  for (const Choice<BackendTlsMode>& choice : kModes) {
    if (choice.value == mode) return choice.name;
  }
  return "unknown";
}

void ReadBackendTls(Reading& reading, TableReader& table, Backend& backend) {
  BackendTls& tls = backend.tls;
  const bool mode_known = table.OneOf<BackendTlsMode>("tls", tls.mode, kModes);
  tls.where = table.WhereOfValue("tls");
  ReadName(reading, table, tls);
  table.Bool("tls_verify", tls.verify);
  tls.ca = kSystemAuthorities;
  tls.system_ca = !ReadPath(reading, table, "tls_ca", tls.ca);
  tls.ca_where = tls.system_ca ? tls.where : table.WhereOfValue("tls_ca");
  table.OneOf<uint16_t>("tls_min_version", tls.min_version, kVersions);
  ReadCertificate(reading, table, tls);
  if (tls.mode == BackendTlsMode::kOff) {
    // A mode that nobody knows has been reported; it was not meant to be "off".
    if (mode_known || !table.Has("tls")) CheckUseless(reading, table);
    return;
  }
  CheckVerification(reading, table, backend);
  if (tls.min_version < 0x0303) {
    reading.reporter.Warn(
        table.WhereOfValue("tls_min_version"),
        fmt::format("tls_min_version in {} allows versions that are broken (RFC 8996)",
                    table.name()),
        "have the servers learn TLSv1.2, and remove the key");
  }
}

std::string ExpectedName(const Backend& backend, const Server& server) {
  if (!backend.tls.name.empty()) return backend.tls.name;
  const std::string_view host = server.host;
  return std::string(WithoutDot(host.substr(0, host.find('%'))));
}

// STARTTLS is a command of the service that listeners speak; a back end knows no service itself.
void CheckBackendStartTls(const Config& config, Reporter& reporter) {
  for (const Backend& backend : config.backends) {
    if (backend.tls.mode != BackendTlsMode::kStartTls) continue;
    for (const Listener& listener : config.listeners) {
      if (listener.backend != backend.name || HasStartTls(listener.service)) continue;
      reporter.Fault(backend.tls.where,
                     fmt::format("tls = \"starttls\" in [backends.{}], but [listeners.{}] uses it "
                                 "for service {}, which has no such command",
                                 backend.name, listener.name, Quote(ToString(listener.service))),
                     "write tls = \"implicit\", or give the listener another back end");
    }
  }
}

}  // namespace postern::config
