// cert list, cert check: every certificate that the configuration names, each judged by itself, so
// that one bad pair hides no other.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "cert_commands.h"
#include "cert_place.h"
#include "postern/generation/certificate_files.h"
#include "postern/os/clock.h"
#include "postern/pki/chain.h"
#include "postern/pki/judge.h"
#include "report.h"

namespace postern::cli {
namespace {

struct Options {
  PlaceOptions place;
  std::vector<std::string> names;
};

struct Entry {
  generation::CertificateFiles files;
  std::string name;
  Result<pki::Pair> pair;
  std::vector<std::string> serves;  // names that clients get it for
  bool is_default = false;
  std::string backend;  // whose servers it is shown to; else it is for clients
};

struct Listed {
  Place place;
  std::vector<Entry> entries;
  std::vector<Error> faults;  // of the directory
};

std::string Stem(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  if (const size_t dot = name.rfind('.'); dot != std::string::npos && dot != 0) name.resize(dot);
  return name;
}

config::Certificates Certificates(const Place& place) {
  if (place.config.has_value()) return place.config->certificates;
  config::Certificates certificates;
  certificates.directory = place.directory;
  certificates.directory_set = true;
  return certificates;
}

// As generation::Compile has it: of each family of keys the first that has a name serves it; the
// default is the one that is configured, else "default", else the first configured pair.
void Assign(std::vector<Entry>& entries, const Place& place) {
  std::set<std::pair<pki::KeyFamily, std::string>> taken;
  const std::string wanted = place.default_name.empty() ? "default" : place.default_name;
  const auto named = std::ranges::find(entries, wanted, &Entry::name);
  for (Entry& entry : entries) {
    if (!entry.pair.has_value() || !entry.backend.empty()) continue;
    for (const std::string& name : entry.pair->names) {
      const pki::KeyFamily family = pki::FamilyOf(entry.pair->key_kind);
      if (taken.emplace(family, name).second) entry.serves.push_back(name);
    }
  }
  if (named != entries.end()) {
    named->is_default = true;
  } else if (place.default_name.empty() && !entries.empty() &&
             !entries.front().files.from_directory && entries.front().backend.empty()) {
    entries.front().is_default = true;
  }
}

Entry ReadEntry(generation::CertificateFiles files) {
  Entry entry{std::move(files), {}, Fail(""), {}, false, {}};
  entry.pair = pki::LoadPair(entry.files.files);
  entry.name = entry.files.given_name;
  if (entry.name.empty() && entry.pair.has_value() && !entry.pair->names.empty()) {
    entry.name = entry.pair->names.front();
  }
  if (entry.name.empty()) entry.name = Stem(entry.files.files.certificate);
  return entry;
}

std::optional<Listed> ReadAll(const Options& options) {
  std::optional<Place> place = FindPlace(options.place);
  if (!place.has_value()) return std::nullopt;
  Listed listed{std::move(*place), {}, {}};
  for (generation::CertificateFiles& files :
       generation::ListCertificates(Certificates(listed.place), listed.faults)) {
    listed.entries.push_back(ReadEntry(std::move(files)));
  }
  if (listed.place.config.has_value()) {
    for (const config::Backend& backend : listed.place.config->backends) {
      std::optional<generation::CertificateFiles> files = generation::FilesForServers(backend);
      if (!files.has_value()) continue;
      listed.entries.push_back(ReadEntry(std::move(*files)));
      listed.entries.back().backend = backend.name;
    }
  }
  Assign(listed.entries, listed.place);
  return listed;
}

// Listeners that speak TLS: each serves every certificate, by the name that the client asks for.
std::string UsedBy(const Entry& entry, const Place& place) {
  if (!place.config.has_value()) return {};
  if (!entry.backend.empty()) return fmt::format("back end {}, towards its servers", entry.backend);
  if (entry.serves.empty() && !entry.is_default) {
    return "no listener: other certificates serve its names";
  }
  std::vector<std::string> listeners;
  for (const config::Listener& listener : place.config->listeners) {
    listeners.push_back(listener.name);
  }
  constexpr size_t kMostListeners = 8;
  return Joined(listeners, kMostListeners);
}

void PrintEntry(const Entry& entry, const Place& place) {
  constexpr size_t kMostNames = 5;
  std::string text = fmt::format("{}{}\n", entry.name, entry.is_default ? " (default)" : "");
  const auto field = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("  {:<8} {}\n", name, value);
  };
  if (entry.pair.has_value()) {
    const pki::Pair& pair = *entry.pair;
    field("names", pair.names.empty() ? "none" : Joined(pair.names, kMostNames));
    field("valid", ValidityText(pair.not_after, os::WallSeconds()));
    field("key", pair.key_type);
  } else {
    field("FAULT", entry.pair.error().ToString());
  }
  field("used by", UsedBy(entry, place));
  field("file", entry.files.files.certificate);
  Print(text);
}

// Keys and requests that wait for their certificate.
size_t PrintWaiting(const Listed& listed) {
  size_t count = 0;
  for (const std::string& name : NamesInStore(listed.place.directory)) {
    const pki::StoreNames files = pki::NamesIn(listed.place.directory, name);
    const std::string waiting = files.key + std::string(pki::kWaitingSuffix);
    const std::string& key = Exists(waiting) ? waiting : files.key;
    if (Exists(files.certificate) && !Exists(waiting)) continue;
    Print(fmt::format("{}\n  waits    for its certificate: {}{}\n", name, key,
                      Exists(files.request) ? ", asked for with " + files.request : ""));
    ++count;
  }
  return count;
}

int List(const Options& options) {
  const std::optional<Listed> listed = ReadAll(options);
  if (!listed.has_value()) return kFailed;
  for (const Entry& entry : listed->entries) PrintEntry(entry, listed->place);
  const size_t waiting = PrintWaiting(*listed);
  PrintErrors(listed->faults);
  if (listed->entries.empty() && waiting == 0 && listed->faults.empty()) {
    Print(fmt::format("no certificates in {}\n", listed->place.directory));
  }
  return listed->faults.empty() ? kOk : kFailed;
}

// Warnings beyond those that LoadPair gives.
std::vector<Error> Remarks(const Entry& entry, const pki::TrustAnchors& anchors) {
  std::vector<pki::X509Ptr> owned;
  std::vector<X509*> chain;
  for (const std::vector<unsigned char>& der : entry.pair->chain_der) {
    const unsigned char* at = der.data();
    owned.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    chain.push_back(owned.back().get());
  }
  const std::string what = fmt::format("the certificate in {}", entry.files.files.certificate);
  std::vector<Error> remarks = pki::RemarksOf(chain.front(), what, os::WallSeconds());
  if (std::optional<Error> missing = pki::MissingIntermediate(chain, anchors)) {
    missing->what = fmt::format("{}: {}", entry.files.files.certificate, missing->what);
    remarks.push_back(std::move(*missing));
  }
  return remarks;
}

int Check(const Options& options) {
  std::optional<Listed> listed = ReadAll(options);
  if (!listed.has_value()) return kFailed;
  std::vector<Error> faults = std::move(listed->faults);
  std::vector<Error> warnings;
  size_t checked = 0;
  const pki::TrustAnchors anchors;
  std::set<std::string> wanted(options.names.begin(), options.names.end());
  for (const Entry& entry : listed->entries) {
    if (!options.names.empty() && !wanted.contains(entry.name)) continue;
    wanted.erase(entry.name);
    ++checked;
    const auto add = [&](std::vector<Error>& list, Error error) {
      error.where = entry.files.where;
      list.push_back(std::move(error));
    };
    if (!entry.pair.has_value()) {
      add(faults, entry.pair.error());
      continue;
    }
    for (const Error& warning : entry.pair->warnings) add(warnings, warning);
    // Those are about servers' certificates.
    if (!entry.backend.empty()) continue;
    for (Error& remark : Remarks(entry, anchors)) add(warnings, std::move(remark));
  }
  if (!options.names.empty()) {
    for (const std::string& name : wanted) {
      faults.push_back({fmt::format("there is no certificate \"{}\"", name),
                        "`postern cert list` shows what there is",
                        {}});
    }
  }
  PrintErrors(faults);
  PrintWarnings(warnings);
  Print(fmt::format("{} checked: {}, {}\n", Count(checked, "certificate"),
                    Count(faults.size(), "fault"), Count(warnings.size(), "warning")));
  return faults.empty() ? kOk : kFailed;
}

}  // namespace

void AddCertList(CLI::App& cert, int& status) {
  CLI::App* list = cert.add_subcommand("list", "List every certificate: names, expiry, where used");
  auto list_options = std::make_shared<Options>();
  list_options->place.AddTo(*list);
  list->footer(R"(
Lists the pairs of the configuration, then those of the certificate directory, and what waits for
a certificate. A pair that cannot be served is listed with what is wrong with it.
Exit status: 0 when they could be listed, 1 when the directory is at fault.)");
  list->callback([list_options, &status] { status = List(*list_options); });

  CLI::App* check = cert.add_subcommand("check", "Say what is wrong with certificates and keys");
  auto check_options = std::make_shared<Options>();
  check->add_option("names", check_options->names, "Names of certificates; default: all")
      ->type_name("NAME");
  check_options->place.AddTo(*check);
  check->footer(R"(
Faults keep a pair from being served: keys that others can read, that belong to another
certificate, that are damaged. Warnings are what clients may stumble over: expired or soon to
expire, weak keys, missing names, missing intermediates.
Exit status: 0 without faults, 1 with.)");
  check->callback([check_options, &status] { status = Check(*check_options); });
}

}  // namespace postern::cli
