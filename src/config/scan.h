// Scan: a first look at a TOML text, before the parser proper.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace postern::config {

struct ScannedLine {
  size_t begin = 0;   // offset of its first octet
  size_t size = 0;    // without the line end
  bool open = false;  // begins inside a list, an inline table or a multi-line text
};

struct Scanned {
  std::vector<ScannedLine> lines;
  // The first character beyond ASCII that is in no text and no comment, where it cannot stand;
  // line 0 when there is none. `octets` is the character.
  struct {
    uint32_t line = 0;
    uint32_t column = 0;
    std::string_view octets;
  } stray;
  // Number (from 1) of the first line with a value or key nested deeper than kMaxNesting.
  std::optional<uint32_t> too_deep;
};

// Lists in lists, and parts of a dotted key. Postern's own configuration needs three.
inline constexpr uint32_t kMaxNesting = 32;

Scanned Scan(std::string_view text);

}  // namespace postern::config
