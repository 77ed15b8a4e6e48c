// One number and one unit. Sums ("1h30m") are left out on purpose: "90m" says the same, and every
// form less is one less to mistype.
#include "duration.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace postern::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t milliseconds;
};
// Largest first, as DurationText wants them.
constexpr std::array<Unit, 5> kUnits = {{
    {"d", 86'400'000},
    {"h", 3'600'000},
    {"m", 60'000},
    {"s", 1'000},
    {"ms", 1},
}};

}  // namespace

std::optional<uint64_t> ParseDuration(std::string_view text) {
  uint64_t count = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc{} || rest == text.data()) return std::nullopt;
  const std::string_view name(rest, static_cast<size_t>(end - rest));
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    uint64_t milliseconds = 0;
    if (__builtin_mul_overflow(count, unit.milliseconds, &milliseconds)) return std::nullopt;
    return milliseconds;
  }
  return std::nullopt;
}

std::string DurationText(uint64_t milliseconds) {
  if (milliseconds == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (milliseconds % unit.milliseconds == 0) {
      return fmt::format("{}{}", milliseconds / unit.milliseconds, unit.name);
    }
  }
  return fmt::format("{}ms", milliseconds);
}

}  // namespace postern::config
