// Where certificates are. Commands work without a configuration, too: a certificate is often there
// before Postern is.
#include "cert_place.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "postern/pki/store.h"
#include "report.h"

namespace postern::cli {

void PlaceOptions::AddTo(CLI::App& app) {
  config_option = AddConfigOption(app, config);
  app.add_option("--directory", directory,
                 "The certificate directory; default: [certificates] directory of the "
                 "configuration")
      ->type_name("DIR")
      ->excludes(config_option);
}

std::optional<Place> FindPlace(const PlaceOptions& options) {
  if (!options.directory.empty()) return Place{options.directory, {}, {}, {}};
  if (options.config_option->count() == 0 && !Exists(options.config)) {
    return Place{"/etc/postern/certs", {}, {}, {}};
  }
  auto loaded = config::Load(options.config);
  if (loaded.has_value()) {
    const config::Certificates& certificates = loaded->config.certificates;
    return Place{certificates.directory, certificates.default_name, certificates.passphrase,
                 std::move(loaded->config)};
  }
  PrintErrors(loaded.error());
  PrintError({"so the certificate directory is not known",
              "mend the configuration, or name the directory with --directory DIR",
              {}});
  return std::nullopt;
}

void PassphraseOption::AddTo(CLI::App& app) {
  app.add_option("--passphrase", text,
                 "Where the passphrase of encrypted files is to be had: file:PATH, env:VARIABLE, "
                 "credential:NAME or ask; default: ask, when there is a terminal")
      ->type_name("SOURCE");
}

std::optional<pki::AskPassphrase> PassphraseOption::Ask(
    const pki::PassphraseSource& fallback) const {
  pki::PassphraseSource source = fallback;
  if (!text.empty()) {
    Result<pki::PassphraseSource> parsed = pki::ParsePassphraseSource(text);
    if (!parsed) {
      parsed.error().what = "--passphrase: " + parsed.error().what;
      PrintError(parsed.error());
      return std::nullopt;
    }
    source = std::move(*parsed);
  } else if (source.kind == pki::PassphraseKind::kNone && ::isatty(STDIN_FILENO) == 1) {
    source.kind = pki::PassphraseKind::kAsk;
  }
  return pki::PassphraseFrom(source,
                             "say where the passphrase is to be had: --passphrase file:PATH, "
                             "env:VARIABLE or credential:NAME (or run this on a terminal)");
}

std::string Joined(const std::vector<std::string>& names, size_t most) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) {
    text += (text.empty() ? "" : ", ") + names[i];
  }
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

bool Exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

pki::PairFiles FilesOf(const Place& place, const std::string& name) {
  const pki::StoreNames names = pki::NamesIn(place.directory, name);
  return {.certificate = names.certificate,
          .key = names.key,
          .chain = Exists(names.chain) ? names.chain : std::string(),
          .place = pki::KeyPlace::kStore,
          .passphrase = place.passphrase,
          .may_ask = ::isatty(STDIN_FILENO) == 1};
}

std::vector<std::string> NamesInStore(const std::string& directory) {
  std::set<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::filesystem::path& path = it->path();
    const std::string suffix = path.extension().string();
    const std::string stem = path.stem().string();
    if (stem.starts_with('.')) continue;
    if (suffix == ".crt" || suffix == ".key" || suffix == ".csr") names.insert(stem);
  }
  return {names.begin(), names.end()};
}

}  // namespace postern::cli
