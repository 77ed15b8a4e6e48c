// Words of a command line: all four protocols write their commands in ASCII, in any case.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace postern::mail {

constexpr char ToUpper(char octet) {
  return octet >= 'a' && octet <= 'z' ? static_cast<char>(octet - 'a' + 'A') : octet;
}

constexpr bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, ToUpper, ToUpper);
}

// TakeWord takes what stands before the next space, and that space; all of it where there is none.
constexpr std::string_view TakeWord(std::string_view& line) {
  const size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

// WithoutTrailingSpace drops spaces and tabs at the end.
constexpr std::string_view WithoutTrailingSpace(std::string_view line) {
  while (line.ends_with(' ') || line.ends_with('\t')) line.remove_suffix(1);
  return line;
}

// FindByName gives the row of a command table (rows have a `name`, in capitals), or nullptr.
template <typename Row>
constexpr const Row* FindByName(std::span<const Row> table, std::string_view name) {
  const auto row = std::ranges::find_if(
      table, [name](const Row& r) { return EqualsIgnoringCase(r.name, name); });
  return row == table.end() ? nullptr : &*row;
}

}  // namespace postern::mail
