#include "mail/literal_string.h"

#include <charconv>

namespace postern::mail {
namespace {

bool EndsWithinQuotes(std::string_view line) {
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == '\\' && quoted) {
      ++i;
    }
  }
  return quoted;
}

// RFC 9051 section 9, quoted: what a backslash may stand before.
std::optional<std::string> TakeQuoted(std::string_view& text) {
  std::string out;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return out;
    }
    if (text[i] == '\r' || text[i] == '\n') break;
    if (text[i] == '\\') {
      ++i;
      if (i == text.size() || (text[i] != '"' && text[i] != '\\')) break;
    }
    out += text[i];
  }
  return std::nullopt;
}

}  // namespace

std::optional<LiteralMark> FindLiteralMark(std::string_view line) {
  if (!line.ends_with('}')) return std::nullopt;
  const size_t open = line.rfind('{');
  if (open == std::string_view::npos || EndsWithinQuotes(line)) return std::nullopt;
  std::string_view digits = line.substr(open + 1, line.size() - open - 2);
  LiteralMark mark;
  if (digits.ends_with('+')) {
    mark.synchronising = false;
    digits.remove_suffix(1);
  }
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, mark.size);
  // A number beyond 32 bits is announced all the same, and longer than anything that is taken.
  if (error == std::errc::result_out_of_range) mark.size = UINT32_MAX;
  if (digits.empty() || error == std::errc::invalid_argument || rest != end) return std::nullopt;
  return mark;
}

std::optional<std::string> TakeString(std::string_view& text) {
  if (text.starts_with('"')) return TakeQuoted(text);
  const size_t end = text.find("\r\n");
  if (!text.starts_with('{') || end == std::string_view::npos) return std::nullopt;
  const auto mark = FindLiteralMark(text.substr(0, end));
  // The mark has to be all of this line.
  if (!mark || text.rfind('{', end) != 0 || text.size() - end - 2 < mark->size) return std::nullopt;
  std::string out(text.substr(end + 2, mark->size));
  text.remove_prefix(end + 2 + mark->size);
  return out;
}

}  // namespace postern::mail
