#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "bench/load/report.h"

namespace postern::bench {
namespace {

std::string UnitsInWords(ModeKind mode) {
  std::string units(UnitsOf(mode));
  std::replace(units.begin(), units.end(), '_', ' ');
  return units == "bytes" ? "octets" : units;
}

std::string Listed(const Counts& counts) {
  std::string text;
  for (const auto& [name, times] : counts) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", name, times);
  }
  return text;
}

void AddRates(std::vector<Row>& rows, const LoadOptions& options, const Tally& tally) {
  const std::string units = UnitsInWords(options.mode);
  rows.push_back({units, fmt::format("{} in {:.2f} s", tally.count, tally.seconds)});
  if (tally.seconds <= 0) return;
  const double rate = static_cast<double>(tally.count) / tally.seconds;
  rows.push_back({"rate", options.mode == ModeKind::kBulk
                              ? fmt::format("{:.1f} MB/s", rate * 1e-6)
                              : fmt::format("{:.1f} {} per second", rate, units)});
}

void AddVerified(std::vector<Row>& rows, const LoadOptions& options, const Tally& tally) {
  if (options.tls == TlsChoice::kPlain) {
    rows.push_back({"TLS", "none"});
  } else {
    rows.push_back(
        {"handshakes seen", fmt::format("{} full, {} resumed", tally.full, tally.resumed)});
    rows.push_back({"versions", Listed(tally.versions)});
    if (!tally.groups.empty()) rows.push_back({"groups", Listed(tally.groups)});
    rows.push_back({"ciphers", Listed(tally.ciphers)});
    rows.push_back({"certificate", options.ca.empty()
                                       ? "not verified (no --ca); the server's signatures were"
                                       : "verified against " + options.ca});
  }
  if (tally.bytes_checked) {
    rows.push_back({"octets", tally.bytes_right ? "all that came were right" : "WRONG"});
  }
}

}  // namespace

std::string Duration(uint64_t microseconds) {
  const auto value = static_cast<double>(microseconds);
  if (microseconds < 1000) return fmt::format("{} µs", microseconds);
  if (microseconds < 1'000'000) return fmt::format("{:.2f} ms", value / 1e3);
  return fmt::format("{:.2f} s", value / 1e6);
}

std::vector<Row> RowsOf(const LoadOptions& options, const Tally& tally) {
  std::vector<Row> rows;
  rows.push_back({"mode", std::string(NameOf(options.mode))});
  rows.push_back({"target", options.TargetText()});
  AddRates(rows, options, tally);
  if (tally.latency.total() != 0) {
    const Histogram& latency = tally.latency;
    rows.push_back(
        {"latency",
         fmt::format("median {}, 90 % {}, 99 % {}, most {}", Duration(latency.Percentile(0.5)),
                     Duration(latency.Percentile(0.9)), Duration(latency.Percentile(0.99)),
                     Duration(latency.max()))});
  }
  rows.push_back({"octets sent, received", fmt::format("{}, {}", tally.sent, tally.received)});
  AddVerified(rows, options, tally);
  for (const auto& [name, number] : tally.specific) {
    std::string words = name;
    std::replace(words.begin(), words.end(), '_', ' ');
    rows.push_back({words, fmt::to_string(number)});
  }
  const std::string per_unit =
      tally.count == 0 ? std::string()
      : options.mode == ModeKind::kBulk
          ? fmt::format(", {:.3f} s per GB",
                        tally.cpu_seconds * 1e9 / static_cast<double>(tally.count))
          : fmt::format(", {:.1f} µs each",
                        tally.cpu_seconds * 1e6 / static_cast<double>(tally.count));
  rows.push_back(
      {"own CPU", fmt::format("{:.2f} s in {} process{}{}", tally.cpu_seconds, options.processes,
                              options.processes == 1 ? "" : "es", per_unit)});
  rows.push_back({"failures", fmt::to_string(tally.failed())});
  for (const auto& [reason, times] : tally.failures) {
    rows.push_back({"  " + reason, fmt::to_string(times)});
  }
  rows.push_back({"versions of", fmt::format("postern-bench {}, {}", POSTERN_VERSION,
                                             OpenSSL_version(OPENSSL_VERSION))});
  return rows;
}

std::string ReportTable(const LoadOptions& options, const Tally& tally) {
  const std::vector<Row> rows = RowsOf(options, tally);
  size_t width = 0;
  for (const Row& row : rows) width = std::max(width, row.name.size());
  std::string text;
  for (const Row& row : rows) text += fmt::format("{:<{}}  {}\n", row.name, width, row.value);
  return text;
}

}  // namespace postern::bench
