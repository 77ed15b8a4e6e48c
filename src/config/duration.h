// Durations as the configuration file writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::config {

// How a duration is written, for remedies.
inline constexpr std::string_view kDurationHelp =
    "write a number with its unit (ms, s, m, h or d), for example \"10s\" or \"35m\"";

// ParseDuration reads "250ms", "10s", "35m", "24h" or "7d" and returns milliseconds; nothing when
// `text` is no duration or does not fit.
std::optional<uint64_t> ParseDuration(std::string_view text);

// DurationText writes milliseconds in the largest unit that divides them: "35m", "1500ms".
std::string DurationText(uint64_t milliseconds);

}  // namespace postern::config
