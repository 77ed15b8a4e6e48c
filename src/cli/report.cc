// One fault, one line. The form "file:line:column: what" is the compilers', which editors know.
#include "report.h"

#include <fmt/format.h>

#include <cstdio>

namespace postern::cli {
namespace {

void PrintLine(const Error& error, std::string_view kind) {
  Error plain = error;
  plain.where = {};
  const std::string where = error.where.ToString();
  fmt::print(stderr, "{}: {}{}\n", where.empty() ? "postern" : where, kind, plain.ToString());
}

}  // namespace

void PrintError(const Error& error) { PrintLine(error, ""); }

void PrintErrors(const std::vector<Error>& errors) {
  for (const Error& error : errors) PrintLine(error, "");
}

void PrintWarnings(const std::vector<Error>& warnings) {
  for (const Error& warning : warnings) PrintLine(warning, "warning: ");
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

std::string Count(size_t number, std::string_view word) {
  return fmt::format("{} {}{}", number, word, number == 1 ? "" : "s");
}

}  // namespace postern::cli
