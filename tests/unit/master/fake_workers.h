// Fake workers: real processes on real channels that follow the protocol, or break it as told.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "postern/base/result.h"

namespace postern::master {

// How a fake worker behaves: a word and, for most, the generation that it is about.
//   "refuse-start"  cannot begin
//   "refuse N"      refuses generation N
//   "deaf N"        does not answer kPrepare of N
//   "die N"         exits with status 7 when it is to prepare N
//   "stuck N"       is ready for N but never switches
//   "mute"          does not answer kAsk
//   "stubborn"      does not end when told to drain or quit
// Anything else: obeys.
using Behaviours = std::map<uint32_t, std::string>;

// SpawnFake starts worker `id` with `channel` (as SupervisorOptions::spawn).
Result<pid_t> SpawnFake(const Behaviours& behaviours, uint32_t id, int channel);

}  // namespace postern::master
