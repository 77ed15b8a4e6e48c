// How connections to a listener begin: with TLS, or in plain text and for how long. Keys that mean
// nothing with the mode that stands beside them are faults: whoever wrote require_tls wanted
// something of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "postern/base/limits.h"
#include "postern/config/suggest.h"
#include "sections.h"
#include "services.h"

namespace postern::config {
namespace {

constexpr std::array<Choice<TlsMode>, 4> kTlsModes = {{
    {"implicit", TlsMode::kImplicit},
    {"starttls", TlsMode::kStartTls},
    {"auto", TlsMode::kAuto},
    {"off", TlsMode::kOff},
}};
constexpr Range kGreetingDelayRange{0, 60'000};

bool BeginsInPlainText(TlsMode mode) {
  return mode == TlsMode::kStartTls || mode == TlsMode::kAuto;
}

// What an SMTP server may call itself (RFC 5321 section 4.1.2 and 4.1.3): a domain or an address in
// brackets. It stands in greetings, so nothing that could end a line or a word gets in.
bool IsOwnName(std::string_view name) {
  if (name.empty() || name.size() > limits::kMaxHostName) return false;
  const bool literal = name.starts_with('[') && name.ends_with(']');
  if (literal) name = name.substr(1, name.size() - 2);
  return std::ranges::all_of(name, [&](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || c == '-' || c == '.' || c == '_' || (literal && c == ':');
  });
}

void CheckMode(Reading& reading, TableReader& table, const Listener& listener) {
  if (listener.tls == TlsMode::kStartTls && !HasStartTls(listener.service)) {
    reading.reporter.Fault(
        table.WhereOfValue("tls"),
        fmt::format("{} cannot have tls = \"starttls\": service {} has no command that begins TLS",
                    table.name(), Quote(ToString(listener.service))),
        "write \"implicit\", or \"auto\" to let in clients with TLS and without");
  }
}

void CheckUseless(Reading& reading, TableReader& table, const Listener& listener) {
  if (BeginsInPlainText(listener.tls)) return;
  for (const std::string_view key : {"require_tls", "greeting_delay", "dialog_timeout"}) {
    if (!table.Has(key)) continue;
    reading.reporter.Fault(table.WhereOfValue(key),
                           fmt::format("{} in {} is of no use with tls = {}", key, table.name(),
                                       Quote(ToString(listener.tls))),
                           "write tls = \"starttls\" (or \"auto\"), or remove the key");
  }
}

// What decides about TLS is of no use without any; somebody expects of it what will not be.
void WarnAboutPlain(Reading& reading, TableReader& table, const Listener& listener) {
  if (listener.tls != TlsMode::kOff) return;
  for (const std::string_view key : {"policy", "strict_sni", "handshake_timeout"}) {
    if (!table.Has(key)) continue;
    reading.reporter.Warn(
        table.WhereOfValue(key),
        fmt::format("{} in {} is of no use with tls = \"off\"", key, table.name()),
        "remove it, or choose another tls");
  }
}

// Who asks for certificates must not be got around by leaving TLS out.
void CheckClientCertificates(Reading& reading, TableReader& table, const Listener& listener) {
  if (listener.clients.mode == ClientMode::kOff) return;
  if (listener.tls == TlsMode::kOff) {
    reading.reporter.Fault(
        table.WhereOfValue("client_certificates"),
        fmt::format("{} asks for client certificates with tls = \"off\"", table.name()),
        "without TLS there are none: choose another tls, or remove client_certificates");
  } else if (listener.clients.mode == ClientMode::kRequired && !listener.require_tls) {
    reading.reporter.Fault(
        table.WhereOfValue("client_certificates"),
        fmt::format("{} requires client certificates, but with require_tls = false clients come in "
                    "without TLS and so without any",
                    table.name()),
        "remove require_tls, or write client_certificates = \"optional\"");
  }
}

}  // namespace

std::string_view ToString(TlsMode mode) {
  for (const Choice<TlsMode>& choice : kTlsModes) {
    if (choice.value == mode) return choice.name;
  }
  return "unknown";
}

void ReadListenerTls(Reading& reading, TableReader& table, Listener& listener, bool service_known) {
  table.OneOf<TlsMode>("tls", listener.tls, kTlsModes);
  table.Bool("require_tls", listener.require_tls);
  table.Duration("greeting_delay", listener.greeting_delay_ms, kGreetingDelayRange);
  table.Duration("dialog_timeout", listener.timeouts.dialog_ms, kDialogRange);
  if (table.Text("host_name", listener.host_name) && !IsOwnName(listener.host_name)) {
    reading.reporter.Fault(
        table.WhereOfValue("host_name"),
        fmt::format("{} in {} is no host name", Quote(listener.host_name), table.name()),
        "write this machine's name as its clients know it, for example \"mail.example.com\"");
  }
  if (service_known) CheckMode(reading, table, listener);
  CheckUseless(reading, table, listener);
  WarnAboutPlain(reading, table, listener);
  CheckClientCertificates(reading, table, listener);
  if (service_known && listener.greeting_delay_ms != 0 && listener.service != Service::kSmtp) {
    reading.reporter.Fault(
        table.WhereOfValue("greeting_delay"),
        fmt::format("greeting_delay in {} is for service = \"smtp\" alone", table.name()),
        "remove it: other clients than mail servers may speak first, and only wait longer");
  }
}

}  // namespace postern::config
