// check: everything that a start or a reload would find wrong, without touching what runs. It goes
// the same way as they do (config::Load, generation::Compile), so that it cannot be of another
// opinion.
//
// Where a start would make a self-signed pair, one is made in a directory of its own and thrown
// away: the rest can then be checked like any other configuration, and nothing is left behind.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "check_sandbox.h"
#include "commands.h"
#include "postern/config/config.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/compile.h"
#include "postern/os/process.h"
#include "postern/pki/chain.h"
#include "postern/pki/describe.h"
#include "postern/pki/self_signed.h"
#include "postern/shm/ticket_key_files.h"
#include "postern/tls/policy.h"
#include "report.h"
#include "summary.h"

namespace postern::cli {
namespace {

// A self-signed pair in a temporary directory, removed with it.
class TemporaryPair {
 public:
  static Result<TemporaryPair> Make() {
    const char* base = ::getenv("TMPDIR");
    std::string path = fmt::format("{}/postern-check-XXXXXX", base != nullptr ? base : "/tmp");
    if (::mkdtemp(path.data()) == nullptr) {
      return FailErrno("cannot make a directory for a trial certificate", errno,
                       "name a directory that can be written to in TMPDIR");
    }
    TemporaryPair pair(path);
    if (Status made = pki::InstallSelfSigned(path); !made) return std::unexpected(made.error());
    return pair;
  }
  TemporaryPair(TemporaryPair&& other) noexcept : directory_(std::exchange(other.directory_, {})) {}
  TemporaryPair& operator=(TemporaryPair&&) = delete;
  ~TemporaryPair() {
    if (directory_.empty()) return;
    ::unlink((directory_ + "/default.crt").c_str());
    ::unlink((directory_ + "/default.key").c_str());
    ::rmdir(directory_.c_str());
  }

  const std::string& directory() const { return directory_; }

 private:
  explicit TemporaryPair(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

struct Checked {
  config::Loaded loaded;
  generation::GenerationPtr generation;
  bool would_make_pair = false;
};

// A user that is named has to be there. Without a name there is always one to fall back on.
std::vector<Error> CheckUser(const config::Process& process) {
  if (process.user.empty()) return {};
  Result<os::Identity> identity = os::LookUpIdentity(process.user, process.group);
  if (identity.has_value()) return {};
  identity.error().where = process.where;
  return {std::move(identity.error())};
}

// Somebody who runs a check by hand can be asked for a passphrase; a script cannot.
bool MayAsk() { return ::isatty(STDIN_FILENO) == 1; }

void SortByPlace(std::vector<Error>& faults) {
  std::ranges::stable_sort(faults, {}, [](const Error& fault) {
    return std::pair(fault.where.line, fault.where.column);
  });
}

// AddFileFaults goes on to the files that a configuration with faults names, as far as it still
// says where they are: so they are mended together.
void AddFileFaults(const std::string& path, std::vector<Error>& faults) {
  const auto add = [&](std::vector<Error> more) {
    std::ranges::move(more, std::back_inserter(faults));
  };
  const std::optional<config::Certificates> certificates = config::LoadCertificates(path);
  if (certificates.has_value() && !generation::NeedsSelfSigned(*certificates)) {
    add(generation::CheckCertificates(*certificates, MayAsk()));
  }
  add(generation::CheckBackendFiles(config::LoadBackends(path), MayAsk()));
  SortByPlace(faults);
}

std::expected<Checked, std::vector<Error>> CheckFile(const std::string& path) {
  auto loaded = config::Load(path);
  if (!loaded.has_value()) {
    AddFileFaults(path, loaded.error());
    return std::unexpected(std::move(loaded.error()));
  }
  Checked checked{std::move(*loaded), nullptr, false};
  std::optional<TemporaryPair> pair;
  config::Loaded trial = checked.loaded;
  if (generation::NeedsSelfSigned(trial.config.certificates)) {
    Result<TemporaryPair> made = TemporaryPair::Make();
    if (!made.has_value()) return std::unexpected(std::vector{std::move(made.error())});
    checked.would_make_pair = true;
    pair.emplace(std::move(*made));
    trial.config.certificates.directory = pair->directory();
  }
  std::vector<Error> faults = CheckUser(trial.config.process);
  const std::vector<Error> lacking = tls::CheckPolicies(trial.config);
  faults.insert(faults.end(), lacking.begin(), lacking.end());
  if (auto keys = shm::ReadTicketKeyFiles(trial.config.tickets.files); !keys) {
    keys.error().where = trial.config.tickets.where;
    faults.push_back(keys.error());
  }
  auto generation = generation::Compile(
      trial, nullptr, 1, MayAsk() ? generation::Occasion::kStart : generation::Occasion::kReload);
  if (!generation.has_value()) {
    faults.insert(faults.end(), generation.error().begin(), generation.error().end());
  }
  if (!faults.empty()) {
    SortByPlace(faults);
    return std::unexpected(std::move(faults));
  }
  checked.generation = std::move(*generation);
  return checked;
}

// What a worker has of the certificates.
Result<generation::CertificateIndexPtr> MapIndex(const generation::Generation& generation) {
  std::map<generation::PartId, generation::SegmentPtr> segments;
  int index = -1;
  for (const generation::PartPtr& part : generation.parts) {
    if (part->kind() == generation::PartKind::kIndex) index = part->fd();
    if (part->kind() != generation::PartKind::kCertificates &&
        part->kind() != generation::PartKind::kKeys) {
      continue;
    }
    auto segment = generation::Segment::Map(part->id(), part->kind(), part->fd());
    if (!segment.has_value()) return std::unexpected(segment.error());
    segments[part->id()] = std::move(*segment);
  }
  return generation::CertificateIndex::Map(index, segments);
}

// Chains that lack an intermediate, where the certificate says which and where to get it. A chain
// that ends below an authority that is not known here may be a private one's, and whole: `postern
// cert check` speaks of that as well.
std::vector<Error> MissingIntermediates(const generation::Generation& generation) {
  std::vector<Error> missing;
  const auto index = MapIndex(generation);
  if (!index.has_value()) return {index.error()};
  const pki::TrustAnchors anchors;
  for (uint32_t i = 0; i < (*index)->size(); ++i) {
    const generation::CertificateSummary& summary = generation.summaries[i];
    std::vector<pki::X509Ptr> owned;
    std::vector<X509*> chain;
    for (const Bytes der : (*index)->Get(i).chain_der) {
      const unsigned char* at = AsUnsigned(der);
      owned.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
      chain.push_back(owned.back().get());
    }
    if (pki::IssuerUrl(chain.back()).empty()) continue;
    std::optional<Error> error = pki::MissingIntermediate(chain, anchors);
    if (!error.has_value()) continue;
    error->what = fmt::format("{}: {}", summary.certificate_path, error->what);
    missing.push_back(std::move(*error));
  }
  return missing;
}

int Check(const std::string& path, bool quiet) {
  const auto checked = CheckFile(path);
  if (!checked.has_value()) {
    PrintErrors(checked.error());
    fmt::print(stderr, "postern: {} in {}: it would not be served\n",
               Count(checked.error().size(), "fault"), path);
    return kFailed;
  }
  std::vector<Error> warnings = checked->loaded.warnings;
  warnings.insert(warnings.end(), checked->generation->warnings.begin(),
                  checked->generation->warnings.end());
  for (Error& missing : MissingIntermediates(*checked->generation)) {
    warnings.push_back(std::move(missing));
  }
  PrintWarnings(warnings);
  if (quiet) return kOk;
  Print(fmt::format("{}: no faults{}\n\n", path,
                    warnings.empty() ? "" : ", " + Count(warnings.size(), "warning")));
  Print(Summary(checked->loaded.config, *checked->generation, checked->would_make_pair));
  return kOk;
}

}  // namespace

void AddCheckCommand(CLI::App& app, int& status) {
  CLI::App* check = app.add_subcommand("check", "Say what is wrong with a configuration");
  auto path = std::make_shared<std::string>(kDefaultConfig);
  auto quiet = std::make_shared<bool>(false);
  auto sandbox = std::make_shared<bool>(false);
  const CLI::Option* config = AddConfigOption(*check, *path);
  check->add_flag("-q,--quiet", *quiet, "Print faults and warnings only, no summary");
  check->add_flag("--sandbox", *sandbox,
                  "Show instead what holds of the workers' sandbox on this machine");
  check->footer(R"(
Reads the file and everything that it names: certificates and keys, the back ends' host
names. Every fault is shown at once, as FILE:LINE:COLUMN: what is wrong; what to do. Then
comes what would be served. Run it as the user that starts Postern: keys have to be readable.
Exit status: 0 when it can be served (perhaps with warnings), 1 when it has faults.

With --sandbox it enters the workers' sandbox and tries what no worker may do. Exit status
then: 0 when every measure is in force and every attempt was stopped, else 1.)");
  check->callback([path, quiet, sandbox, config, &status] {
    status = *sandbox ? CheckSandbox(*path, config->count() > 0) : Check(*path, *quiet);
  });
}

}  // namespace postern::cli
