// The tables of the configuration file, one reader each. All fill `config` and report what is wrong
// within their table; what is between tables is in checks.h.
#pragma once

#include <string>
#include <string_view>

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
void ReadLimits(Reading& reading);
void ReadTickets(Reading& reading);
// Returns [timeouts]' handshake and idle, the defaults of every listener.
Timeouts ReadTimeouts(Reading& reading);
void ReadBackends(Reading& reading);
// Call it after ReadBackends: listeners name back ends.
void ReadListeners(Reading& reading, const Timeouts& defaults);

// The bounds of a listener's timeouts, wherever they are written.
inline constexpr Range kHandshakeRange{100, 600'000};
inline constexpr Range kIdleRange{100, 604'800'000};

// CheckName reports a name of a listener, back end or certificate that could not stand in a log
// line or a command as it is. `also` are characters that this kind of name may hold beyond the
// usual.
bool CheckName(std::string_view name, std::string_view of_what, Where where, Reporter& reporter,
               std::string_view also = {});

}  // namespace postern::config
