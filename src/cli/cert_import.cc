// cert import: what the authority sent, in whatever form, becomes the pair NAME; all that could be
// wrong with it is found before anything is written.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "cert_commands.h"
#include "cert_place.h"
#include "postern/os/clock.h"
#include "postern/os/terminal.h"
#include "postern/pki/describe.h"
#include "postern/pki/import.h"
#include "report.h"

namespace postern::cli {
namespace {

struct Options {
  PlaceOptions place;
  PassphraseOption passphrase;
  std::vector<std::string> files;
  std::string name;
  bool dry_run = false;
  bool yes = false;
  bool encrypt = false;
};

bool FitsAny(const pki::FoundKey& key, const pki::Material& given) {
  const bool fits = std::ranges::any_of(given.certificates, [&](const auto& found) {
    return EVP_PKEY_eq(X509_get0_pubkey(found.certificate.get()), key.key.get()) == 1;
  });
  (void)pki::OpenSslErrors();
  return fits;
}

// The keys of the directory that belong to what was given. What cannot be read there is no help,
// and no fault of what is imported: a key under a passphrase is not asked for. File by file, since
// a directory may hold 100,000.
void FindKeys(const Place& place, const pki::Material& given, pki::Material& known) {
  const pki::AskPassphrase ask = pki::PassphraseFrom(place.passphrase, {}, false);
  for (const std::string& name : NamesInStore(place.directory)) {
    const std::string key = pki::NamesIn(place.directory, name).key;
    // Waiting keys first: they are what is being waited for.
    for (const std::string& path : {key + std::string(pki::kWaitingSuffix), key}) {
      pki::Material material;
      if (!Exists(path) || !pki::ReadMaterial(path, ask, material)) continue;
      for (pki::FoundKey& found : material.keys) {
        if (FitsAny(found, given)) known.keys.push_back(std::move(found));
      }
    }
  }
}

// The certificates of the pair that will be replaced: an intermediate among them may be missing
// among what was given, and its hosts should not get lost.
void FindCertificates(const Place& place, const std::string& name, pki::Material& known) {
  const pki::StoreNames files = pki::NamesIn(place.directory, name);
  for (const std::string& path : {files.certificate, files.chain}) {
    if (Exists(path)) (void)pki::ReadMaterial(path, pki::PassphraseFrom({}, {}), known);
  }
}

std::string_view Suffix(pki::KeyFamily family) {
  switch (family) {
    case pki::KeyFamily::kEcdsa:
      return "-ecdsa";
    case pki::KeyFamily::kEdDsa:
      return "-eddsa";
    case pki::KeyFamily::kRsaPss:
    case pki::KeyFamily::kRsa:
      return "-rsa";
    case pki::KeyFamily::kOther:
      break;
  }
  return "-2";
}

// A pair with a key of another kind need not go: each client would get the one that it can verify.
void NoteOtherKind(const X509* replaced, pki::ImportPlan& plan) {
  const EVP_PKEY* before = X509_get0_pubkey(replaced);
  if (before == nullptr) return;
  const pki::KeyFamily family = pki::FamilyOf(pki::KindOf(plan.key));
  if (family == pki::FamilyOf(pki::KindOf(before))) return;
  plan.warnings.push_back(
      {fmt::format("the pair {} in service has a key of another kind ({}), and is replaced",
                   plan.name, pki::KeyType(before)),
       fmt::format("if both shall serve, each client the one that it can verify: --name {}{}",
                   plan.name, Suffix(family)),
       {}});
}

std::expected<pki::ImportPlan, std::vector<Error>> Plan(const Options& options, const Place& place,
                                                        const pki::Material& given,
                                                        pki::Material& known) {
  pki::ImportOptions wanted{options.name, {}, os::WallSeconds()};
  if (given.keys.empty()) FindKeys(place, given, known);
  auto plan = pki::PlanImport(given, known, wanted);
  if (!plan.has_value()) return plan;
  // Only now it is known which pair will be replaced.
  FindCertificates(place, plan->name, known);
  if (known.certificates.empty()) return plan;
  wanted.names = pki::HostNames(known.certificates.front().certificate.get());
  plan = pki::PlanImport(given, known, wanted);
  if (plan.has_value()) NoteOtherKind(known.certificates.front().certificate.get(), *plan);
  return plan;
}

void PrintPlan(const pki::ImportPlan& plan, const Place& place, bool encrypt) {
  X509* leaf = plan.chain.front();
  const pki::StoreNames files = pki::NamesIn(place.directory, plan.name);
  std::string text = fmt::format("certificate  {}, from {}\n", pki::Subject(leaf), plan.leaf_from);
  text += fmt::format("  names      {}\n", Joined(pki::AlternativeNames(leaf)));
  text += fmt::format("  valid      {}\n",
                      ValidityText(pki::PeriodOf(leaf).not_after, os::WallSeconds()));
  text += fmt::format("  key        {}, from {}\n", pki::KeyType(plan.key), plan.key_from);
  for (size_t i = 1; i < plan.chain.size(); ++i) {
    text += fmt::format("  chain      {}\n", pki::Subject(plan.chain[i]));
  }
  for (const std::string& note : plan.notes) text += fmt::format("  note       {}\n", note);
  const auto verb = [](const std::string& path) {
    return Exists(path) ? "replaces " : "makes    ";
  };
  text += fmt::format("{} {}\n", verb(files.certificate), files.certificate);
  text += fmt::format("{} {} ({}, mode 0600)\n", verb(files.key), files.key,
                      encrypt ? "encrypted" : "not encrypted");
  Print(text);
}

// Whether to go on. Without a terminal nobody can be asked, and --yes has to be said beforehand.
bool Confirmed(const Options& options) {
  if (options.yes) return true;
  if (::isatty(STDIN_FILENO) != 1) {
    PrintError({"nothing was imported: there is no terminal to ask on",
                "say --yes to import without being asked, --dry-run to see what would be done",
                {}});
    return false;
  }
  const Result<std::string> answer = os::AskLine("Import it? [y/N] ");
  if (answer.has_value() && (*answer == "y" || *answer == "Y" || *answer == "yes")) return true;
  Print("nothing was imported\n");
  return false;
}

int Fault(const Error& error) {
  PrintError(error);
  return kFailed;
}

int NothingImported(const std::vector<Error>& faults) {
  PrintErrors(faults);
  fmt::print(stderr, "postern: nothing was imported or replaced\n");
  return kFailed;
}

void Advise(const pki::ImportPlan& plan, const Place& place) {
  const std::string default_name = place.default_name.empty() ? "default" : place.default_name;
  std::string text = fmt::format(
      "imported as {}; a Postern that runs serves it after `postern reload`\n", plan.name);
  const bool configured =
      place.config.has_value() &&
      std::ranges::any_of(place.config->certificates.pairs,
                          [&](const auto& pair) { return pair.name == plan.name; });
  if (configured) {
    text += fmt::format(
        "but a [[certificates.pair]] has the name \"{}\" and is served in its "
        "place: remove it from the configuration\n",
        plan.name);
  } else if (plan.name != default_name) {
    text += fmt::format(
        "clients that name no host get \"{}\"; if it shall be this one, set default "
        "= \"{}\" in [certificates]\n",
        default_name, plan.name);
  }
  Print(text);
}

int Import(const Options& options) {
  const std::optional<Place> place = FindPlace(options.place);
  if (!place.has_value()) return kFailed;
  const auto ask = options.passphrase.Ask();
  if (!ask.has_value()) return kFailed;
  pki::Material given;
  std::vector<Error> faults;
  for (const std::string& path : options.files) {
    if (Status read = pki::ReadMaterial(path, *ask, given); !read) faults.push_back(read.error());
  }
  if (!faults.empty()) return NothingImported(faults);
  pki::Material known;
  const auto plan = Plan(options, *place, given, known);
  if (!plan.has_value()) return NothingImported(plan.error());
  PrintPlan(*plan, *place, options.encrypt);
  PrintWarnings(plan->warnings);
  if (options.dry_run) return kOk;
  if (!Confirmed(options)) return kFailed;

  std::optional<pki::SecretBytes> passphrase;
  if (options.encrypt) {
    Result<pki::SecretBytes> read =
        pki::ReadPassphrase(place->passphrase, "the keys of [certificates]", true);
    if (!read.has_value()) return Fault(read.error());
    passphrase = std::move(*read);
  }
  Result<pki::PairTexts> texts = TextsOf(*plan, passphrase.has_value() ? &*passphrase : nullptr);
  if (!texts.has_value()) return Fault(texts.error());
  if (Status done = pki::InstallPair(place->directory, plan->name, std::move(*texts)); !done) {
    return Fault(done.error());
  }
  // Read back: a pair that could not be served is no success.
  if (Result<pki::Pair> pair = pki::LoadPair(FilesOf(*place, plan->name)); !pair.has_value()) {
    return Fault(pair.error());
  }
  // The key has found its certificate.
  if (plan->key_from.ends_with(pki::kWaitingSuffix)) ::unlink(plan->key_from.c_str());
  Advise(*plan, *place);
  return kOk;
}

}  // namespace

void AddCertImport(CLI::App& cert, int& status) {
  CLI::App* import = cert.add_subcommand("import", "Take a certificate and its key, in any form");
  auto options = std::make_shared<Options>();
  import
      ->add_option("files", options->files,
                   "Certificate, key and intermediates in any number of files and any order: PEM, "
                   "DER, PKCS#7 (.p7b), PKCS#12 (.p12, .pfx)")
      ->type_name("FILE")
      ->required();
  options->place.AddTo(*import);
  options->passphrase.AddTo(*import);
  import
      ->add_option("--name", options->name,
                   "What to call it; default: the certificate's first host name")
      ->type_name("NEW");
  import->add_flag("--dry-run", options->dry_run, "Say what would be done, and do nothing");
  import->add_flag("-y,--yes", options->yes, "Do not ask");
  import->add_flag("--encrypt", options->encrypt,
                   "Write the key encrypted, under the passphrase of [certificates]");
  import->footer(R"(
Finds the key that belongs to the certificate, among the files or in the certificate directory
(where `postern cert csr` put it), orders the chain and names a missing intermediate. A certificate
that has expired or is not valid yet, RSA keys under 2048 bits, SHA-1 signatures and keys that
belong to no certificate are refused, and nothing is replaced. The pair that stood there is kept;
`postern cert revert` goes back to it.
Exit status: 0 when it is imported (or could be, with --dry-run), 1 when not.)");
  import->callback([options, &status] { status = Import(*options);
});
}  // namespace postern::cli

}  // namespace postern::cli
