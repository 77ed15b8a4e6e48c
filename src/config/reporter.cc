// Faults are found table by table but read line by line: they are sorted when they are taken.
#include "reporter.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace postern::config {
namespace {

std::vector<Error> Sorted(std::vector<Error> errors) {
  std::stable_sort(errors.begin(), errors.end(), [](const Error& a, const Error& b) {
    return std::tie(a.where.line, a.where.column) < std::tie(b.where.line, b.where.column);
  });
  return errors;
}

}  // namespace

void Reporter::Fault(Where where, std::string what, std::string remedy) {
  faults_.push_back(Error{std::move(what), std::move(remedy), std::move(where)});
}

void Reporter::Warn(Where where, std::string what, std::string remedy) {
  warnings_.push_back(Error{std::move(what), std::move(remedy), std::move(where)});
}

void Reporter::Missing(Where where, std::string what, std::string remedy) {
  if (!damaged_) Fault(std::move(where), std::move(what), std::move(remedy));
}

std::vector<Error> Reporter::TakeFaults() { return Sorted(std::exchange(faults_, {})); }

std::vector<Error> Reporter::TakeWarnings() { return Sorted(std::exchange(warnings_, {})); }

}  // namespace postern::config
