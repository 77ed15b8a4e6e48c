// LineGlimpse finds the lines in octets that pass by and belong to somebody else: nothing is
// refused, and what is no line is passed over.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "postern/base/limits.h"

namespace postern::mail {

class LineGlimpse {
 public:
  // Take calls `on_line` for each line that ends in `octets`, without its end. Of a line beyond
  // limits::kMaxDialogLine what lies beyond is left out.
  template <typename OnLine>
  void Take(std::string_view octets, OnLine&& on_line) {
    while (!octets.empty()) {
      if (skip_ > 0) {
        const size_t passed = std::min<size_t>(skip_, octets.size());
        octets.remove_prefix(passed);
        skip_ -= static_cast<uint32_t>(passed);
        continue;
      }
      const size_t end = octets.find('\n');
      std::string_view line = octets.substr(0, end);
      if (end == std::string_view::npos || !kept_.empty()) {
        kept_ += line.substr(0, limits::kMaxDialogLine - kept_.size());
        line = kept_;
      }
      if (end == std::string_view::npos) return;
      octets.remove_prefix(end + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      on_line(line);
      kept_.clear();
    }
  }

  // Skip: the next `size` octets are no lines, but a literal's content.
  void Skip(uint32_t size) { skip_ = size; }

 private:
  std::string kept_;  // of a line whose end has not come yet
  uint32_t skip_ = 0;
};

}  // namespace postern::mail
