// cert self-signed: back to a pair that works everywhere and that nobody trusts, for a fresh
// install or when every other certificate has failed (row B1 of docs/features.md).
#include <fmt/format.h>

#include <memory>

#include "cert_commands.h"
#include "cert_place.h"
#include "postern/pki/self_signed.h"
#include "report.h"

namespace postern::cli {
namespace {

struct Options {
  PlaceOptions place;
  std::vector<std::string> names;
  std::string key = "p256";
  int days = pki::kSelfSignedDays;
};

int Make(const Options& options) {
  const Result<pki::KeyKind> kind = pki::ParseKeyKind(options.key);
  if (!kind.has_value()) {
    PrintError(kind.error());
    return kFailed;
  }
  const std::optional<Place> place = FindPlace(options.place);
  if (!place.has_value()) return kFailed;
  const pki::StoreNames files = pki::NamesIn(place->directory, "default");
  const bool replaces_certificate = Exists(files.certificate);
  const bool replaces_key = Exists(files.key);
  if (Status made = pki::InstallSelfSigned(place->directory, options.names, options.days, *kind);
      !made.has_value()) {
    PrintError(made.error());
    return kFailed;
  }
  // Read back: what is shown is what is there, and a pair that could not be served is no success.
  const Result<pki::Pair> pair = pki::LoadPair(FilesOf(*place, "default"));
  if (!pair.has_value()) {
    PrintError(pair.error());
    return kFailed;
  }
  // Read-back names leave IP addresses out.
  const std::string names =
      options.names.empty() ? Joined(pair->names) + ", 127.0.0.1, ::1" : Joined(options.names);
  Print(fmt::format("wrote {}\nwrote {} (keep it secret)\nnames: {}\n", files.certificate,
                    files.key, names));
  if (replaces_certificate)
    Print(fmt::format("the certificate of before is {}.previous\n", files.certificate));
  if (replaces_key) Print(fmt::format("the key of before is {}.previous\n", files.key));
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

void AddCertSelfSigned(CLI::App& cert, int& status) {
  CLI::App* self_signed =
      cert.add_subcommand("self-signed", "Make a self-signed pair and install it as the default");
  auto options = std::make_shared<Options>();
  self_signed
      ->add_option("names", options->names,
                   "Host names or IP addresses in the certificate; default: this host's name, "
                   "localhost, 127.0.0.1 and ::1")
      ->type_name("NAME");
  options->place.AddTo(*self_signed);
  self_signed
      ->add_option("--key", options->key,
                   "Kind of key: rsa2048, rsa3072, rsa4096, p256, "
                   "p384 or ed25519")
      ->type_name("KIND")
      ->capture_default_str();
  self_signed->add_option("--days", options->days, "How long it is valid")
      ->type_name("DAYS")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
  self_signed->footer(R"(
Writes DIR/default.crt and DIR/default.key. A pair that stood there is kept as
default.crt.previous and default.key.previous; `postern cert revert` goes back to it. Clients
do not trust a self-signed certificate by themselves; it is for a fresh install and for tests.
Exit status: 0 when the pair is there, 1 when not.)");
  self_signed->callback([options, &status] { status = Make(*options); });
}

}  // namespace postern::cli
