// The single tables but for [limits]: [process], [log], [certificates], [tickets], [session_cache],
// [timeouts]. Ranges are those of docs/configuration.md.
#include "sections.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <map>

#include "endpoint.h"
#include "postern/base/limits.h"
#include "postern/config/suggest.h"

namespace postern::config {
namespace {

constexpr std::array<Choice<SandboxMode>, 3> kSandboxModes = {{
    {"on", SandboxMode::kOn},
    {"log", SandboxMode::kLog},
    {"off", SandboxMode::kOff},
}};

void ReadPair(Reading& reading, const toml::table& node) {
  TableReader table(node, "[[certificates.pair]]", reading.reporter);
  CertificatePair pair;
  pair.where = table.where();
  if (table.Text("name", pair.name)) {
    CheckName(pair.name, "certificate", table.WhereOfValue("name"), reading.reporter, "*");
  }
  table.Require("certificate", "add certificate = \"FILE\", a PEM file with the chain, leaf first");
  table.Require("key", "add key = \"FILE\", the PEM file with the certificate's private key");
  ReadPath(reading, table, "certificate", pair.certificate);
  ReadPath(reading, table, "key", pair.key);
  pair.passphrase = reading.config.certificates.passphrase;
  ReadPassphraseSource(reading, table, "passphrase", pair.passphrase);
  ReadPath(reading, table, "ocsp", pair.ocsp);
  table.Finish();
  reading.config.certificates.pairs.push_back(std::move(pair));
}

void CheckPairNames(Reading& reading) {
  std::map<std::string_view, Where> seen;
  for (const CertificatePair& pair : reading.config.certificates.pairs) {
    if (pair.name.empty()) continue;
    const auto [it, fresh] = seen.emplace(pair.name, pair.where);
    if (fresh) continue;
    reading.reporter.Fault(pair.where,
                           fmt::format("two certificates have the name {}; the other is on line {}",
                                       Quote(pair.name), it->second.line),
                           "give one of them another name");
  }
}

// Reads a duration of whole seconds into `out` (in seconds).
void ReadSeconds(Reading& reading, TableReader& table, std::string_view key, uint64_t& out,
                 Range range) {
  uint64_t milliseconds = 0;
  if (!table.Duration(key, milliseconds, range)) return;
  if (milliseconds % 1000 != 0) {
    reading.reporter.Fault(
        table.WhereOfValue(key),
        fmt::format("{} in {} is not a whole number of seconds", key, table.name()),
        "write whole seconds, minutes, hours or days");
    return;
  }
  out = milliseconds / 1000;
}

}  // namespace

const toml::table* Section(Reading& reading, std::string_view name) {
  return reading.root.Child<toml::table>(name, "a table", kTableHelp);
}

std::string ResolvePath(const Reading& reading, const std::string& path) {
  if (path.empty() || path.starts_with('/')) return path;
  const auto directory = std::filesystem::path(reading.config.path).parent_path();
  return (directory / path).lexically_normal().string();
}

bool ReadPath(Reading& reading, TableReader& table, std::string_view key, std::string& out) {
  std::string path;
  if (!table.Text(key, path)) return false;
  if (path.empty()) {
    reading.reporter.Fault(table.WhereOfValue(key),
                           fmt::format("{} in {} is empty", key, table.name()),
                           "write a path, or remove the key");
    return false;
  }
  out = ResolvePath(reading, path);
  return true;
}

bool CheckName(std::string_view name, std::string_view of_what, Where where, Reporter& reporter,
               std::string_view also) {
  constexpr size_t kMaxName = limits::kMaxHostName;  // certificates are often named after a host
  std::string alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  alphabet += also;
  const bool good = !name.empty() && name.size() <= kMaxName &&
                    name.find_first_not_of(alphabet) == std::string_view::npos;
  if (good) return true;
  reporter.Fault(
      std::move(where),
      name.empty() ? fmt::format("the name of a {} is empty", of_what)
                   : fmt::format("{} is no good name for a {}", Quote(name), of_what),
      fmt::format("use letters, digits, \".\", \"-\" and \"_\", at most {} of them", kMaxName));
  return false;
}

void ReadPassphraseSource(Reading& reading, TableReader& table, std::string_view key,
                          pki::PassphraseSource& out) {
  std::string text;
  if (!table.Text(key, text)) return;
  Result<pki::PassphraseSource> source = pki::ParsePassphraseSource(text);
  if (!source) {
    // The value is not shown: it may be the passphrase itself.
    reading.reporter.Fault(table.WhereOfValue(key),
                           fmt::format("{} in {}: {}", key, table.name(), source.error().what),
                           source.error().remedy);
    return;
  }
  out = std::move(*source);
  if (out.kind == pki::PassphraseKind::kFile) out.name = ResolvePath(reading, out.name);
}

std::string_view ToString(SandboxMode mode) {
  for (const Choice<SandboxMode>& choice : kSandboxModes) {
    if (choice.value == mode) return choice.name;
  }
  return "unknown";
}

void ReadProcess(Reading& reading) {
  Process& process = reading.config.process;
  process.pid_file = "/run/postern/postern.pid";
  process.control_socket = "/run/postern/control.sock";
  const toml::table* node = Section(reading, "process");
  if (node == nullptr) return;
  TableReader table(*node, "[process]", reading.reporter);
  process.where = table.where();
  table.Integer("workers", process.workers, {0, limits::kMaxWorkers});
  table.Bool("pin", process.pin);
  table.Text("user", process.user);
  table.Text("group", process.group);
  table.OneOf<SandboxMode>("sandbox", process.sandbox, kSandboxModes);
  table.Text("pid_file", process.pid_file);
  table.Text("control_socket", process.control_socket);
  process.pid_file = ResolvePath(reading, process.pid_file);
  process.control_socket = ResolvePath(reading, process.control_socket);
  if (process.control_socket.size() > kMaxUnixPath) {
    reading.reporter.Fault(table.WhereOfValue("control_socket"),
                           fmt::format("the path of control_socket has {} octets, a UNIX socket's "
                                       "may have {}",
                                       process.control_socket.size(), kMaxUnixPath),
                           "choose a shorter path");
  }
  if (!process.pid_file.empty() && process.pid_file == process.control_socket) {
    reading.reporter.Fault(table.WhereOfValue("control_socket"),
                           "control_socket and pid_file are the same path",
                           "give each a path of its own");
  }
  table.Finish();
}

void ReadLog(Reading& reading) {
  static constexpr std::array<Choice<LogFormat>, 2> kFormats = {{
      {"logfmt", LogFormat::kLogfmt},
      {"json", LogFormat::kJson},
  }};
  static constexpr std::array<Choice<LogLevel>, 5> kLevels = {{
      {"debug", LogLevel::kDebug},
      {"info", LogLevel::kInfo},
      {"notice", LogLevel::kNotice},
      {"warning", LogLevel::kWarning},
      {"error", LogLevel::kError},
  }};
  const toml::table* node = Section(reading, "log");
  if (node == nullptr) return;
  Log& log = reading.config.log;
  TableReader table(*node, "[log]", reading.reporter);
  table.OneOf<LogFormat>("format", log.format, kFormats);
  table.OneOf<LogLevel>("level", log.level, kLevels);
  std::string destination;
  if (table.Text("destination", destination) && destination != "stderr") {
    if (destination == "syslog") {
      log.destination = LogDestination::kSyslog;
    } else if (destination.find('/') != std::string::npos && !destination.ends_with('/')) {
      log.destination = LogDestination::kFile;
      log.file = ResolvePath(reading, destination);
    } else {
      reading.reporter.Fault(
          table.WhereOfValue("destination"),
          fmt::format("unknown destination {} in [log]", Quote(destination)),
          "write \"stderr\", \"syslog\" or a file's path such as \"/var/log/postern.log\" "
          "(\"./postern.log\" lies beside this file)");
    }
  }
  table.Finish();
}

void ReadCertificates(Reading& reading) {
  Certificates& certificates = reading.config.certificates;
  certificates.directory = "/etc/postern/certs";
  const toml::table* node = Section(reading, "certificates");
  if (node == nullptr) return;
  TableReader table(*node, "[certificates]", reading.reporter);
  certificates.where = table.where();
  certificates.directory_set = ReadPath(reading, table, "directory", certificates.directory);
  ReadPassphraseSource(reading, table, "passphrase",
                       certificates.passphrase);  // before the pairs, which take it
  if (table.Text("default", certificates.default_name)) {
    CheckName(certificates.default_name, "certificate", table.WhereOfValue("default"),
              reading.reporter, "*");
  }
  table.Bool("strict_sni", certificates.strict_sni);
  table.Bool("watch", certificates.watch);
  const std::string_view remedy =
      "begin each pair with the line [[certificates.pair]], brackets doubled";
  if (const auto* pairs = table.Child<toml::array>("pair", "a list of tables", remedy)) {
    for (const toml::node& pair : *pairs) {
      if (const toml::table* pair_table = pair.as_table()) {
        ReadPair(reading, *pair_table);
      } else {
        reading.reporter.Fault(
            WhereOf(pair, reading.reporter),
            fmt::format("a certificate pair is {}, it has to be a table", TypeName(pair)),
            std::string(remedy));
      }
    }
  }
  CheckPairNames(reading);
  table.Finish();
}

namespace {

void ReadTicketKeyFiles(Reading& reading, TableReader& table, Tickets& tickets) {
  for (const PlacedText& text : table.Texts("files")) {
    if (text.text.empty()) {
      reading.reporter.Fault(text.where, "files in [tickets] names an empty path",
                             "write a path, or remove the key");
    } else {
      tickets.files.push_back(ResolvePath(reading, text.text));
    }
  }
  if (tickets.files.size() > limits::kTicketKeys) {
    reading.reporter.Fault(
        table.WhereOfValue("files"),
        fmt::format("files in [tickets] names {} files", tickets.files.size()),
        fmt::format("name at most {}: the key that seals first, then those that only open",
                    limits::kTicketKeys));
  }
  if (!tickets.files.empty() && table.Has("rotate")) {
    reading.reporter.Fault(table.WhereOfValue("rotate"),
                           "rotate in [tickets] is of no use with files",
                           "remove it; write new keys into the files, and reload");
  }
}

}  // namespace

void ReadTickets(Reading& reading) {
  const toml::table* node = Section(reading, "tickets");
  if (node == nullptr) return;
  Tickets& tickets = reading.config.tickets;
  TableReader table(*node, "[tickets]", reading.reporter);
  tickets.where = table.where();
  table.Bool("enabled", tickets.enabled);
  // RFC 8446 section 4.6.1: a ticket's lifetime MUST NOT be more than 604,800 seconds.
  ReadSeconds(reading, table, "lifetime", tickets.lifetime_s, {1'000, 604'800'000});
  ReadSeconds(reading, table, "rotate", tickets.rotate_s, {1'000, 604'800'000});
  table.Integer("count", tickets.count, {0, limits::kMaxTicketCount});
  ReadTicketKeyFiles(reading, table, tickets);
  table.Finish();
}

void ReadSessionCache(Reading& reading) {
  const toml::table* node = Section(reading, "session_cache");
  if (node == nullptr) return;
  SessionCache& cache = reading.config.session_cache;
  TableReader table(*node, "[session_cache]", reading.reporter);
  cache.where = table.where();
  table.Integer("entries", cache.entries, {0, limits::kMaxSessionIds});
  // RFC 5246 appendix F.1.4 suggests 24 hours as the most.
  ReadSeconds(reading, table, "lifetime", cache.lifetime_s, {1'000, 86'400'000});
  table.Finish();
}

Timeouts ReadTimeouts(Reading& reading) {
  Timeouts defaults;
  const toml::table* node = Section(reading, "timeouts");
  if (node == nullptr) return defaults;
  TableReader table(*node, "[timeouts]", reading.reporter);
  table.Duration("handshake", defaults.handshake_ms, kHandshakeRange);
  table.Duration("dialog", defaults.dialog_ms, kDialogRange);
  table.Duration("idle", defaults.idle_ms, kIdleRange);
  table.Duration("first_byte", defaults.first_byte_ms, kHandshakeRange);
  table.Duration("unread", defaults.unread_ms, kUnreadRange);
  table.Duration("drain", reading.config.drain_timeout_ms, {0, 604'800'000});
  table.Duration("prepare", reading.config.prepare_timeout_ms, {100, 600'000});
  table.Finish();
  return defaults;
}

}  // namespace postern::config
