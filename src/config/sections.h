// The tables of the configuration file, one reader each. All fill `config` and report what is wrong
// within their table; what is between tables is in checks.h.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/config/config.h"
#include "reporter.h"
#include "table_reader.h"

namespace postern::config {

// Reading is what every reader works on; all of it outlives the call.
struct Reading {
  TableReader& root;  // the file's top level
  Config& config;
  Reporter& reporter;
};

void ReadProcess(Reading& reading);
void ReadLog(Reading& reading);
void ReadCertificates(Reading& reading);
void ReadTickets(Reading& reading);
void ReadSessionCache(Reading& reading);
// [limits]; call it before ReadListeners, which take its lists of networks.
void ReadLimits(Reading& reading);
// Returns [timeouts]' handshake and idle, the defaults of every listener.
Timeouts ReadTimeouts(Reading& reading);
void ReadBackends(Reading& reading);
void ReadPolicies(Reading& reading);
// Call it after ReadPolicies: [tls] names one.
void ReadTls(Reading& reading);
// Call it after ReadBackends and ReadTls: listeners name back ends and policies.
void ReadListeners(Reading& reading, const Timeouts& defaults);

// Groups of keys within a listener's table.
void ReadPolicyName(Reading& reading, TableReader& table, std::string& policy);
// Reads where a passphrase is to be had; the value is never shown.
void ReadPassphraseSource(Reading& reading, TableReader& table, std::string_view key,
                          pki::PassphraseSource& out);
// Of a back end's table; call it when its servers are read.
void ReadBackendTls(Reading& reading, TableReader& table, Backend& backend);
void ReadClientCertificates(Reading& reading, TableReader& table, ClientCertificates& clients);
// Call it when service and client certificates are read: it judges them with the TLS mode.
// `service_known`: the service was read without a fault.
void ReadListenerTls(Reading& reading, TableReader& table, Listener& listener, bool service_known);

inline constexpr std::string_view kTableHelp =
    "begin the table with its name in brackets on a line";

// Section is the table [`name`], or null; what is no table is reported.
const toml::table* Section(Reading& reading, std::string_view name);

// NamedTables gives the tables within [`section`], in the order of the file.
std::vector<std::pair<std::string, const toml::table*>> NamedTables(Reading& reading,
                                                                    std::string_view section,
                                                                    std::string_view of_what);

// ResolvePath takes a relative path from the directory of the configuration file, so that a
// configuration can be tried out wherever it was unpacked. An empty path stays empty.
std::string ResolvePath(const Reading& reading, const std::string& path);
// ReadPath reads a path that must not be empty. True when `out` was set.
bool ReadPath(Reading& reading, TableReader& table, std::string_view key, std::string& out);

// The bounds of a listener's timeouts, wherever they are written.
inline constexpr Range kHandshakeRange{100, 600'000};
inline constexpr Range kDialogRange{100, 600'000};
inline constexpr Range kIdleRange{100, 604'800'000};
inline constexpr Range kUnreadRange{100, 604'800'000};

// CheckName reports a name of a listener, back end or certificate that could not stand in a log
// line or a command as it is. `also` are characters that this kind of name may hold beyond the
// usual.
bool CheckName(std::string_view name, std::string_view of_what, Where where, Reporter& reporter,
               std::string_view also = {});

}  // namespace postern::config
