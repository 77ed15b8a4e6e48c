// Tally: what one process counted, or all of them together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/histogram.h"
#include "bench/load/options.h"

namespace postern::bench {

using Counts = std::map<std::string, uint64_t, std::less<>>;

struct Tally {
  double seconds = 0;  // measured; of several processes the longest
  uint64_t count = 0;  // of what UnitsOf(mode) names
  Counts failures;
  Histogram latency;
  uint64_t sent = 0;  // application octets
  uint64_t received = 0;
  uint64_t full = 0;  // handshakes seen, by kind
  uint64_t resumed = 0;
  Counts versions, groups, ciphers;
  bool bytes_checked = false;  // whether octets were compared at all
  bool bytes_right = true;
  double cpu_seconds = 0;
  double interval_s = 1;
  std::vector<uint64_t> intervals;  // counts, interval_s each
  Counts specific;                  // of one mode: "held", "lost", "reloads"

  uint64_t failed() const;
  void Fail(std::string_view reason, uint64_t times = 1);
  void Merge(const Tally& other);
};

// AddTo adds without making a string when the name is known already.
void AddTo(Counts& counts, std::string_view name, uint64_t times = 1);

// A tally as text between our own processes, and back; nothing when it is not one.
std::string Serialize(const Tally& tally);
std::optional<Tally> Deserialize(const std::string& text);

// The result as the tool's JSON document (docs/benchmarks.md).
std::string ReportJson(const LoadOptions& options, const Tally& tally);

}  // namespace postern::bench
