#include "bench/load/tally.h"

#include <algorithm>

namespace postern::bench {

void AddTo(Counts& counts, std::string_view name, uint64_t times) {
  const auto found = counts.find(name);
  if (found != counts.end()) {
    found->second += times;
  } else {
    counts.emplace(name, times);
  }
}

uint64_t Tally::failed() const {
  uint64_t sum = 0;
  for (const auto& [reason, times] : failures) sum += times;
  return sum;
}

void Tally::Fail(std::string_view reason, uint64_t times) { AddTo(failures, reason, times); }

void Tally::Merge(const Tally& other) {
  const auto add = [](Counts& into, const Counts& from) {
    for (const auto& [name, times] : from) AddTo(into, name, times);
  };
  seconds = std::max(seconds, other.seconds);
  count += other.count;
  add(failures, other.failures);
  latency.Merge(other.latency);
  sent += other.sent;
  received += other.received;
  full += other.full;
  resumed += other.resumed;
  add(versions, other.versions);
  add(groups, other.groups);
  add(ciphers, other.ciphers);
  bytes_checked = bytes_checked || other.bytes_checked;
  bytes_right = bytes_right && other.bytes_right;
  cpu_seconds += other.cpu_seconds;
  interval_s = other.interval_s;
  intervals.resize(std::max(intervals.size(), other.intervals.size()));
  for (size_t i = 0; i < other.intervals.size(); ++i) intervals[i] += other.intervals[i];
  add(specific, other.specific);
}

}  // namespace postern::bench
