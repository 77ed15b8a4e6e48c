// cert self-signed: back to a pair that works everywhere and that nobody trusts, for a fresh
// install or when every other certificate has failed (row B1 of docs/features.md).
#include <fmt/format.h>
#include <sys/stat.h>

#include <memory>

#include "commands.h"
#include "postern/config/config.h"
#include "postern/pki/certificate.h"
#include "report.h"

namespace postern::cli {
namespace {

struct SelfSignedOptions {
  std::vector<std::string> names;
  std::string config = kDefaultConfig;
  bool config_given = false;
  std::string directory;
};

struct Place {
  std::string directory;
  std::string default_name;  // what the configuration calls its default pair
};

bool Exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

// Where the pair goes, or nothing after having said why that cannot be told.
std::optional<Place> FindPlace(const SelfSignedOptions& options) {
  if (!options.directory.empty()) return Place{options.directory, {}};
  // A machine that has no configuration yet gets the pair where the default one looks for it.
  if (!options.config_given && !Exists(options.config)) return Place{"/etc/postern/certs", {}};
  auto loaded = config::Load(options.config);
  if (loaded.has_value()) {
    const config::Certificates& certificates = loaded->config.certificates;
    return Place{certificates.directory, certificates.default_name};
  }
  PrintErrors(loaded.error());
  PrintError({"so the certificate directory is not known",
              "mend the configuration, or name the directory with --directory DIR",
              {}});
  return std::nullopt;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

int MakeSelfSigned(const SelfSignedOptions& options) {
  const std::optional<Place> place = FindPlace(options);
  if (!place.has_value()) return kFailed;
  const std::string certificate = place->directory + "/default.crt";
  const std::string key = place->directory + "/default.key";
  const bool replaces_certificate = Exists(certificate);
  const bool replaces_key = Exists(key);
  if (Status made = pki::InstallSelfSigned(place->directory, options.names); !made.has_value()) {
    PrintError(made.error());
    return kFailed;
  }
  // Read back: what is shown is what is there, and a pair that could not be served is no success.
  const Result<pki::Pair> pair = pki::LoadPair(certificate, key);
  if (!pair.has_value()) {
    PrintError(pair.error());
    return kFailed;
  }
  // Read-back names leave IP addresses out.
  const std::string names =
      options.names.empty() ? Joined(pair->names) + ", 127.0.0.1, ::1" : Joined(options.names);
  Print(fmt::format("wrote {}\nwrote {} (keep it secret)\nnames: {}\n", certificate, key, names));
  if (replaces_certificate)
    Print(fmt::format("the certificate of before is {}.previous\n", certificate));
  if (replaces_key) Print(fmt::format("the key of before is {}.previous\n", key));
  if (!place->default_name.empty() && place->default_name != "default") {
    Print(
        fmt::format("the configuration has default = \"{}\" in [certificates]: clients that ask "
                    "for no name get that pair, not this one\n",
                    place->default_name));
  }
  Print("a Postern that runs serves it after `postern reload`\n");
  return kOk;
}

}  // namespace

void AddCertCommands(CLI::App& app, int& status) {
  CLI::App* cert = app.add_subcommand("cert", "Make certificates");
  cert->require_subcommand(1);
  CLI::App* self_signed =
      cert->add_subcommand("self-signed", "Make a self-signed pair and install it as the default");
  auto options = std::make_shared<SelfSignedOptions>();
  self_signed
      ->add_option("names", options->names,
                   "Host names or IP addresses in the certificate; default: this host's name, "
                   "localhost, 127.0.0.1 and ::1")
      ->type_name("NAME");
  CLI::Option* config = AddConfigOption(*self_signed, options->config);
  self_signed
      ->add_option("--directory", options->directory,
                   "Where to write it; default: [certificates] directory of the configuration")
      ->type_name("DIR")
      ->excludes(config);
  self_signed->footer(R"(
Writes DIR/default.crt and DIR/default.key. A pair that stood there is kept as
default.crt.previous and default.key.previous. Clients do not trust a self-signed
certificate by themselves; it is for a fresh install and for tests.
Exit status: 0 when the pair is there, 1 when not.)");
  self_signed->callback([options, config, &status] {
    options->config_given = config->count() > 0;
    status = MakeSelfSigned(*options);
  });
}

}  // namespace postern::cli
