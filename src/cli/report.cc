// One fault, one line. The form "file:line:column: what" is the compilers', which editors know.
#include "report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

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

std::string ValidityText(int64_t not_after, int64_t now) {
  constexpr int64_t kDay = 86'400;
  const std::string date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<time_t>(not_after)));
  if (not_after < now) {
    return fmt::format("expired on {}, {} ago", date,
                       Count(static_cast<size_t>((now - not_after) / kDay), "day"));
  }
  return fmt::format("until {}, {} left", date,
                     Count(static_cast<size_t>((not_after - now) / kDay), "day"));
}

std::string Count(size_t number, std::string_view word) {
  return fmt::format("{} {}{}", number, word, number == 1 ? "" : "s");
}

}  // namespace postern::cli
