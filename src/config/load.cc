// A file's content, checked. Apart from Parse so that what takes text alone (tests, fuzzing) needs
// no file system.
#include "document.h"
#include "postern/config/config.h"
#include "postern/os/files.h"
#include "sections.h"

namespace postern::config {
namespace {

std::expected<std::string, std::vector<Error>> ReadText(const std::string& path) {
  Result<std::string> text = os::ReadFile(path);
  if (text.has_value()) return std::move(*text);
  Error error = std::move(text.error());
  if (error.remedy.empty()) error.remedy = "name a readable configuration file with -c FILE";
  return std::unexpected(std::vector<Error>{std::move(error)});
}

// A configuration of which only the sections that `read` takes are there, and their faults.
template <typename Read>
std::expected<Config, std::vector<Error>> LoadSections(const std::string& path, Read read) {
  auto text = ReadText(path);
  if (!text.has_value()) return std::unexpected(std::move(text.error()));
  Reporter reporter(path);
  Config config;
  config.path = path;
  const toml::table document = ParseDocument(*text, reporter);
  TableReader root(document, "this file", reporter);
  Reading reading{root, config, reporter};
  read(reading);
  if (reporter.failed()) return std::unexpected(reporter.TakeFaults());
  return config;
}

}  // namespace

std::expected<Loaded, std::vector<Error>> Load(const std::string& path) {
  auto text = ReadText(path);
  if (!text.has_value()) return std::unexpected(std::move(text.error()));
  return Parse(*text, path);
}

std::optional<Certificates> LoadCertificates(const std::string& path) {
  auto config = LoadSections(path, ReadCertificates);
  if (!config.has_value()) return std::nullopt;
  return std::move(config->certificates);
}

std::vector<Backend> LoadBackends(const std::string& path) {
  auto config = LoadSections(path, [](Reading& reading) {
    ReadCertificates(reading);  // has the passphrase of keys that have none of their own
    ReadBackends(reading);
  });
  if (!config.has_value()) return {};
  return std::move(config->backends);
}

std::expected<Control, std::vector<Error>> LoadControl(const std::string& path) {
  auto config = LoadSections(path, [](Reading& reading) {
    ReadProcess(reading);
    ReadTimeouts(reading);
  });
  if (!config.has_value()) return std::unexpected(std::move(config.error()));
  return Control{std::move(config->process.control_socket), config->prepare_timeout_ms};
}

}  // namespace postern::config
