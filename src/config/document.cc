// toml++ stops at the first syntax error. An administrator wants all of them, so the broken line is
// blanked out (positions stay as they are) and the text is parsed again; a broken table header
// takes its whole table with it, lest its keys seem to belong to the table above. Where the error
// is inside something that spans lines nothing certain can be said of what follows: there it ends.
//
// Debian builds the library with exceptions, and the header must match; they end here.
#include "document.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "postern/config/suggest.h"
#include "scan.h"

namespace postern::config {
namespace {

// More syntax errors than these in one file: it is no configuration, or a generator ran wild.
constexpr int kMaxSyntaxErrors = 20;

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::string_view LineText(std::string_view text, const ScannedLine& line) {
  return Trim(text.substr(line.begin, line.size));
}

struct SyntaxError {
  std::string description;
  uint32_t line = 0;
  uint32_t column = 0;
};

struct Diagnosis {
  std::string what;
  std::string remedy;
};

// The parser's own words, fit for one line of output.
std::string ParserWords(std::string_view description) {
  std::string words = "syntax error: ";
  for (const char c : description) {
    words += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return words;
}

// What is wrong with a `value` that the parser refused.
Diagnosis DiagnoseValue(std::string_view value, std::string_view description) {
  if (value.empty() || value.front() == '#') {
    return {"syntax error: no value follows the \"=\"", "write the value behind it"};
  }
  const char first = value.front();
  if ((first == '"' || first == '\'') && value.find(first, 1) == std::string_view::npos) {
    return {"syntax error: the text is not closed on its line",
            fmt::format("put a {} behind it", first)};
  }
  if (first == '"') {
    return {ParserWords(description),
            "inside double quotes write \\\" for a quote and \\\\ for a backslash; nothing but a "
            "comment may follow the closing quote"};
  }
  if (first == '[') {
    return {ParserWords(description),
            "close the list with \"]\", put a comma between its elements, "
            "and each text in double quotes"};
  }
  if (first == '{') {
    return {ParserWords(description),
            "close the table with \"}\" and put a comma between its keys"};
  }
  const std::string_view word = Trim(value.substr(0, value.find('#')));
  return {fmt::format("syntax error: the value {} is no number, no true or false, and no text",
                      Quote(word)),
          "put text in double quotes, as in \"imap\" or \"10s\""};
}

// What is wrong on `line`, in our own words where the case is a usual one: the parser's tell what
// it expected, seldom what to do.
Diagnosis Diagnose(std::string_view line, std::string_view description) {
  const bool header = line.starts_with('[');
  if (description.find("redefine") != std::string_view::npos) {
    const std::string_view what = Trim(line.substr(0, line.find(header ? '#' : '=')));
    if (header) {
      return {fmt::format("the table {} stands twice", Quote(what)),
              "give one of the two another name, or put all keys under the first"};
    }
    return {fmt::format("the key {} stands twice", Quote(what)), "remove one of the two"};
  }
  if (header) {
    return {ParserWords(description),
            "a table begins with its name in brackets, for example [listeners.imaps]"};
  }
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    return {ParserWords(description),
            "write key = value, or begin the line with \"#\" to make it a comment"};
  }
  return DiagnoseValue(Trim(line.substr(equals + 1)), description);
}

Diagnosis DiagnoseStray(std::string_view octets) {
  constexpr std::array<std::string_view, 6> kQuotes = {"\u201c", "\u201d", "\u201e",
                                                       "\u2018", "\u2019", "\u00a0"};
  if (std::find(kQuotes.begin(), kQuotes.end(), octets) != kQuotes.end()) {
    return {"syntax error: a typographic quote or space, as text processors make them",
            "type it again as a plain \" or a plain space"};
  }
  if (octets.size() < 2)
    return {"syntax error: an octet that is not UTF-8", "save the file as UTF-8"};
  return {fmt::format("syntax error: the character {} stands outside of a text", Quote(octets)),
          "put text in double quotes, and begin a comment with \"#\""};
}

// Parses once; nothing when there is a syntax error, which is then in `error`.
std::optional<toml::table> ParseOnce(std::string_view text, SyntaxError& error) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    error = {std::string(e.description()), e.source().begin.line, e.source().begin.column};
  } catch (const std::exception& e) {
    error = {e.what(), 0, 0};
  }
  return std::nullopt;
}

void Blank(std::string& text, const ScannedLine& line) {
  for (size_t i = line.begin; i < line.begin + line.size; ++i) {
    if (text[i] != '\r') text[i] = ' ';
  }
}

// Takes the line `number` (from 1), or the table that it begins, out of `text`. False when the rest
// cannot be judged without it.
bool Skip(std::string& text, const Scanned& scanned, uint32_t number) {
  if (number == 0 || number > scanned.lines.size()) return false;
  const size_t index = number - 1;
  if (scanned.lines[index].open) return false;
  const std::string_view line = LineText(text, scanned.lines[index]);
  if (line.empty()) return false;  // the error is not where it seems to be
  if (line.starts_with('[')) {
    size_t i = index;
    do {
      Blank(text, scanned.lines[i++]);
    } while (i < scanned.lines.size() && !LineText(text, scanned.lines[i]).starts_with('['));
    return true;
  }
  if (index + 1 < scanned.lines.size() && scanned.lines[index + 1].open) return false;
  Blank(text, scanned.lines[index]);
  return true;
}

}  // namespace

toml::table ParseDocument(std::string_view text, Reporter& reporter) {
  std::string rest(text);
  for (int errors = 0; errors < kMaxSyntaxErrors; ++errors) {
    const Scanned scanned = Scan(rest);
    if (scanned.too_deep.has_value()) {
      reporter.Fault(reporter.At(*scanned.too_deep, 0), "the text is nested too deeply",
                     "write keys and lists as docs/configuration.md shows them");
      break;
    }
    SyntaxError error;
    Diagnosis diagnosis;
    if (scanned.stray.line != 0) {
      error = {{}, scanned.stray.line, scanned.stray.column};
      diagnosis = DiagnoseStray(scanned.stray.octets);
    } else {
      std::optional<toml::table> table = ParseOnce(rest, error);
      if (table.has_value()) return std::move(*table);
      const bool known = error.line > 0 && error.line <= scanned.lines.size();
      const std::string_view line =
          known ? LineText(rest, scanned.lines[error.line - 1]) : std::string_view{};
      diagnosis = Diagnose(line, error.description);
    }
    reporter.SetDamaged();
    reporter.Fault(reporter.At(error.line, error.column), std::move(diagnosis.what),
                   std::move(diagnosis.remedy));
    if (!Skip(rest, scanned, error.line)) break;
  }
  return {};
}

}  // namespace postern::config
