// From text to Config. The order is: tree, tables, checks across tables; each goes on after a
// fault, because an administrator mends a file once, not once per fault.
#include "postern/config/config.h"

#include "checks.h"
#include "document.h"
#include "sections.h"

namespace postern::config {

std::expected<Loaded, std::vector<Error>> Parse(std::string_view text, const std::string& path) {
  Reporter reporter(path);
  Loaded loaded;
  loaded.config.path = path;
  const toml::table document = ParseDocument(text, reporter);
  TableReader root(document, "this file", reporter);
  Reading reading{root, loaded.config, reporter};
  ReadProcess(reading);
  ReadLog(reading);
  ReadCertificates(reading);
  const Timeouts defaults = ReadTimeouts(reading);
  ReadBackends(reading);
  ReadPolicies(reading);
  ReadTls(reading);
  ReadLimits(reading);
  ReadListeners(reading, defaults);
  ReadTickets(reading);
  ReadSessionCache(reading);
  root.Finish();
  const toml::table* listeners = document["listeners"].as_table();
  if (!root.Has("listeners") || (listeners != nullptr && listeners->empty())) {
    reporter.Missing(reporter.At(0, 0), "there is no listener",
                     "add a table [listeners.NAME] with address, port, service and backend");
  }
  CheckWhole(loaded.config, reporter);
  if (reporter.failed()) return std::unexpected(reporter.TakeFaults());
  loaded.warnings = reporter.TakeWarnings();
  return loaded;
}

}  // namespace postern::config
