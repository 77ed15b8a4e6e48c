// A file's content, checked. Apart from Parse so that what takes text alone (tests, fuzzing) needs
// no file system.
#include "postern/config/config.h"
#include "postern/os/files.h"

namespace postern::config {

std::expected<Loaded, std::vector<Error>> Load(const std::string& path) {
  Result<std::string> text = os::ReadFile(path);
  if (!text.has_value()) {
    Error error = std::move(text.error());
    if (error.remedy.empty()) error.remedy = "name a readable configuration file with -c FILE";
    return std::unexpected(std::vector<Error>{std::move(error)});
  }
  return Parse(*text, path);
}

}  // namespace postern::config
