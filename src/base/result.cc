// Error texts. strerror_r is used because std::strerror is not safe beside the loader thread.
#include "postern/base/result.h"

#include <fmt/format.h>

#include <cstring>

namespace postern {

std::string Where::ToString() const {
  if (file.empty()) return {};
  if (line == 0) return file;
  if (column == 0) return fmt::format("{}:{}", file, line);
  return fmt::format("{}:{}:{}", file, line, column);
}

std::string Error::ToString() const {
  std::string text = where.ToString();
  if (!text.empty()) text += ": ";
  text += what;
  if (!remedy.empty()) {
    text += "; ";
    text += remedy;
  }
  return text;
}

std::string ErrnoText(int error_number) {
  char buffer[128];
  return ::strerror_r(error_number, buffer, sizeof buffer);
}

std::unexpected<Error> FailErrno(std::string_view what, int error_number, std::string remedy) {
  return Fail(fmt::format("{}: {}", what, ErrnoText(error_number)), std::move(remedy));
}

}  // namespace postern
