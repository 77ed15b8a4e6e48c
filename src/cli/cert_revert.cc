// cert revert: back to what served before the last import, or to the pair that Postern makes
// itself.
#include <fmt/format.h>

#include <memory>

#include "cert_commands.h"
#include "cert_place.h"
#include "postern/os/clock.h"
#include "postern/pki/self_signed.h"
#include "report.h"

namespace postern::cli {
namespace {

struct Options {
  PlaceOptions place;
  std::string name = "default";
  bool self_signed = false;
};

int Revert(const Options& options) {
  const std::optional<Place> place = FindPlace(options.place);
  if (!place.has_value()) return kFailed;
  if (options.self_signed && options.name != "default") {
    PrintError({"--self-signed is for the default pair alone",
                "leave the name out, or leave --self-signed out",
                {}});
    return kFailed;
  }
  const Status done = options.self_signed ? pki::InstallSelfSigned(place->directory)
                                          : pki::RevertPair(place->directory, options.name);
  if (!done.has_value()) {
    PrintError(done.error());
    return kFailed;
  }
  const Result<pki::Pair> pair = pki::LoadPair(FilesOf(*place, options.name));
  if (!pair.has_value()) {
    PrintError(pair.error());
    return kFailed;
  }
  PrintWarnings(pair->warnings);
  Print(
      fmt::format("{} is now the certificate for {}, {}\n"
                  "a Postern that runs serves it after `postern reload`; the pair of just before "
                  "is kept, and another `postern cert revert` brings it back\n",
                  options.name, pair->names.empty() ? "no host" : Joined(pair->names, 5),
                  ValidityText(pair->not_after, os::WallSeconds())));
  return kOk;
}

}  // namespace

void AddCertRevert(CLI::App& cert, int& status) {
  CLI::App* revert = cert.add_subcommand("revert", "Go back to the pair before the last import");
  auto options = std::make_shared<Options>();
  revert->add_option("name", options->name, "Which pair of the certificate directory")
      ->type_name("NAME")
      ->capture_default_str();
  options->place.AddTo(*revert);
  revert->add_flag("--self-signed", options->self_signed,
                   "Back to a pair that Postern makes itself, as the default");
  revert->footer(R"(
The pair and the one before change places, so that reverting twice changes nothing.
Exit status: 0 when it is done, 1 when there is nothing to go back to.)");
  revert->callback([options, &status] { status = Revert(*options); });
}

}  // namespace postern::cli
