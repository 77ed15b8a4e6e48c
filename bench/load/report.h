// The result for people: a table for the terminal, a page with plots.
#pragma once

#include <string>
#include <vector>

#include "bench/load/tally.h"

namespace postern::bench {

// One line of a result: what it is, and its value with its unit.
struct Row {
  std::string name;
  std::string value;
};
std::vector<Row> RowsOf(const LoadOptions& options, const Tally& tally);

std::string ReportTable(const LoadOptions& options, const Tally& tally);
// A page of its own: styles and plots (SVG) are within, nothing is fetched.
std::string ReportHtml(const LoadOptions& options, const Tally& tally);

// Microseconds in the unit that suits them: "350 µs", "1.25 ms", "2.00 s".
std::string Duration(uint64_t microseconds);

}  // namespace postern::bench
