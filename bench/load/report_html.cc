// The plots are SVG written by hand: a result has to be readable for as long as there are browsers,
// on a machine without a network.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/load/report.h"

namespace postern::bench {
namespace {

constexpr double kWidth = 760, kHeight = 260;                       // of a plot
constexpr double kLeft = 70, kRight = 20, kTop = 16, kBottom = 44;  // its margins

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>postern-bench: {title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 2rem auto;
  max-width: 800px; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #dde3ea;
  vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }}
th {{ color: #55606e; width: 30%; }}
.bad {{ color: #b3261e; font-weight: bold; }}
svg {{ width: 100%; height: auto; }}
svg text {{ font: 12px system-ui, sans-serif; fill: #55606e; }}
.axis {{ stroke: #9aa5b1; }} .grid {{ stroke: #e6ebf0; }}
.line {{ fill: none; stroke: #1f6feb; stroke-width: 2; }} .bar {{ fill: #1f6feb; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #e6edf3; background: #0d1117; }} th, svg text {{ color: #9aa5b1; fill: #9aa5b1; }}
  td, th {{ border-color: #30363d; }} .grid {{ stroke: #21262d; }} .line {{ stroke: #58a6ff; }}
  .bar {{ fill: #58a6ff; }} .bad {{ color: #ff7b72; }}
}}
</style></head><body>
<h1>postern-bench: {title}</h1>
)";

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

// A number with the prefix that keeps it short: 1.5 k, 20 M.
std::string Short(double value) {
  static constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T"};
  size_t prefix = 0;
  while (value >= 1000 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  return fmt::format("{:.3g}{}", value, kPrefixes[prefix]);
}

// The least of 1, 2 and 5 times a power of ten that is not below `value`.
double RoundUp(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0, 10.0}) {
    if (value <= step * power * (1 + 1e-9)) return step * power;
  }
  return 10 * power;
}

double PlaceX(double part) { return kLeft + part * (kWidth - kLeft - kRight); }
double PlaceY(double part) { return kHeight - kBottom - part * (kHeight - kTop - kBottom); }

std::string Begin(std::string_view name) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth,
                     kHeight, Escape(name));
}

std::string AxisY(double top, std::string_view unit) {
  std::string svg;
  for (int i = 0; i <= 4; ++i) {
    const double y = PlaceY(i / 4.0);
    svg += fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        i == 0 ? "axis" : "grid", PlaceX(0), PlaceX(1), y, y, PlaceX(0) - 8, y + 4,
        Short(top * i / 4));
  }
  return svg + fmt::format("<text x=\"4\" y=\"11\">{}</text>\n", Escape(unit));
}

std::string LabelX(double part, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                     PlaceX(part), kHeight - kBottom + 18, Escape(text));
}

std::string TitleX(std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                     PlaceX(0.5), kHeight - 6, Escape(text));
}

// The rate over time.
std::string RatePlot(const LoadOptions& options, const Tally& tally) {
  const std::vector<uint64_t>& counts = tally.intervals;
  // What is left of the last interval is too short to be a rate.
  const auto whole = std::min(
      counts.size(), static_cast<size_t>(std::floor(tally.seconds / tally.interval_s + 1e-6)));
  if (whole < 2) return {};
  double most = 0;
  for (size_t i = 0; i < whole; ++i) {
    most = std::max(most, static_cast<double>(counts[i]) / tally.interval_s);
  }
  const double top = RoundUp(most);
  const double seconds = static_cast<double>(whole) * tally.interval_s;
  std::string points;
  for (size_t i = 0; i < whole; ++i) {
    const double at = (static_cast<double>(i) + 0.5) / static_cast<double>(whole);
    points += fmt::format("{:.1f},{:.1f} ", PlaceX(at),
                          PlaceY(static_cast<double>(counts[i]) / tally.interval_s / top));
  }
  std::string units(UnitsOf(options.mode));
  std::replace(units.begin(), units.end(), '_', ' ');
  std::string svg = "<h2>Rate over time</h2>\n" + Begin("Rate over time");
  svg += AxisY(top, units + " per second");
  for (int i = 0; i <= 5; ++i) svg += LabelX(i / 5.0, fmt::format("{:.3g}", seconds * i / 5));
  return svg + TitleX("seconds") + "<polyline class=\"line\" points=\"" + points + "\"/>\n</svg>\n";
}

// How many took how long, on a logarithmic scale of time.
std::string LatencyPlot(const Tally& tally) {
  const auto places = tally.latency.Places();
  if (places.empty()) return {};
  const double first =
      std::floor(std::log10(static_cast<double>(std::max<uint64_t>(1, tally.latency.min()))));
  const double last = std::max(
      first + 1,
      std::ceil(std::log10(static_cast<double>(std::max<uint64_t>(2, tally.latency.max())))));
  constexpr size_t kBars = 80;
  std::vector<double> bars(kBars);
  for (const auto& [upper, count] : places) {
    const double at = std::log10(static_cast<double>(std::max<uint64_t>(1, upper)));
    const double part = (at - first) / (last - first) * kBars;
    bars[std::min(kBars - 1, static_cast<size_t>(std::max(0.0, part)))] +=
        static_cast<double>(count);
  }
  const double total = static_cast<double>(tally.latency.total());
  const double top = RoundUp(*std::max_element(bars.begin(), bars.end()) / total * 100);
  std::string svg = "<h2>Latency</h2>\n" + Begin("Latency") + AxisY(top, "% of all");
  const double width = (kWidth - kLeft - kRight) / kBars;
  for (size_t i = 0; i < kBars; ++i) {
    if (bars[i] == 0) continue;
    const double y = PlaceY(bars[i] / total * 100 / top);
    svg += fmt::format(
        "<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
        PlaceX(static_cast<double>(i) / kBars), y, width - 1, std::max(0.5, PlaceY(0) - y));
  }
  for (double power = first; power <= last; ++power) {
    svg += LabelX((power - first) / (last - first),
                  Duration(static_cast<uint64_t>(std::llround(std::pow(10, power)))));
  }
  return svg + TitleX("time") + "</svg>\n";
}

}  // namespace

std::string ReportHtml(const LoadOptions& options, const Tally& tally) {
  const std::string title =
      Escape(fmt::format("{} of {}", NameOf(options.mode), options.TargetText()));
  std::string page = fmt::format(kHead, fmt::arg("title", title));
  if (tally.failed() != 0 || !tally.bytes_right) {
    page += fmt::format("<p class=\"bad\">{} failed: this run is not a measurement.</p>\n",
                        tally.failed());
  }
  page += "<table>\n";
  for (const Row& row : RowsOf(options, tally)) {
    page += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", Escape(row.name),
                        Escape(row.value));
  }
  return page + "</table>\n" + RatePlot(options, tally) + LatencyPlot(tally) + "</body></html>\n";
}

}  // namespace postern::bench
