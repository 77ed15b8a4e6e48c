// The certificate directory. Its listing is sorted, so that the winner of a name that two
// certificates have does not depend on the file system.
#include "postern/generation/certificate_files.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "postern/generation/compile.h"

namespace postern::generation {
namespace {

constexpr std::string_view kCertificateSuffix = ".crt";
constexpr std::string_view kKeySuffix = ".key";
constexpr std::string_view kChainSuffix = ".chain";
constexpr std::string_view kStapleSuffix = ".ocsp";

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

struct Listing {
  std::vector<std::string> names;  // of the entries NAME.crt, without the suffix
  // NAMEs with a NAME.key, NAME.chain or NAME.ocsp, so that nobody asks for each of them again.
  std::unordered_set<std::string> keys;
  std::unordered_set<std::string> chains;
  std::unordered_set<std::string> staples;
  bool has_keys = false;
};

// Whether something is behind the entry: a link may lead nowhere.
bool IsThere(const std::string& directory, const dirent& entry) {
  if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return true;
  return Exists(directory + "/" + entry.d_name);
}

// An errno value when the directory cannot be read.
std::expected<Listing, int> List(const std::string& path) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (directory == nullptr) return std::unexpected(errno);
  Listing listing;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with('.')) continue;
    listing.has_keys = listing.has_keys || name.ends_with(kKeySuffix);
    for (const auto& [suffix, names] :
         {std::pair(kKeySuffix, &listing.keys), std::pair(kChainSuffix, &listing.chains),
          std::pair(kStapleSuffix, &listing.staples)}) {
      if (name.ends_with(suffix) && IsThere(path, *entry)) {
        names->emplace(name.substr(0, name.size() - suffix.size()));
      }
    }
    errno = 0;
    if (!name.ends_with(kCertificateSuffix)) continue;
    listing.names.emplace_back(name.substr(0, name.size() - kCertificateSuffix.size()));
  }
  if (errno != 0) return std::unexpected(errno);
  std::sort(listing.names.begin(), listing.names.end());
  return listing;
}

void ListDirectory(const config::Certificates& certificates, bool keyless,
                   std::vector<CertificateFiles>& files, std::vector<Error>& faults) {
  const std::string& path = certificates.directory;
  if (path.empty()) return;
  const auto listing = List(path);
  if (!listing) {
    // The built-in directory may be missing when pairs are configured.
    if (listing.error() == ENOENT && !certificates.directory_set) return;
    Error fault =
        FailErrno(fmt::format("cannot read the certificate directory {}", path), listing.error(),
                  listing.error() == ENOENT
                      ? "make it, or correct the path"
                      : "let the user that starts postern read it, or correct the path")
            .error();
    fault.where = certificates.where;
    faults.push_back(std::move(fault));
    return;
  }
  if (listing->has_keys) {
    if (Status closed = pki::CheckStoreDirectory(path); !closed) {
      closed.error().where = certificates.where;
      faults.push_back(std::move(closed.error()));
    }
  }
  files.reserve(files.size() + listing->names.size());
  for (const std::string& name : listing->names) {
    const pki::StoreNames names = pki::NamesIn(path, name);
    CertificateFiles entry{name,
                           {.certificate = names.certificate,
                            .key = names.key,
                            .chain = listing->chains.contains(name) ? names.chain : std::string(),
                            .place = pki::KeyPlace::kStore,
                            .passphrase = certificates.passphrase},
                           certificates.where,
                           true};
    if (listing->staples.contains(name)) entry.staple_path = names.ocsp;
    // One that was made while the directory was read may be missing from the listing.
    if (!keyless && !listing->keys.contains(name) && !Exists(names.key)) {
      faults.push_back(
          {fmt::format("{} has no key: {} does not exist", names.certificate, names.key),
           fmt::format("put the private key there, or move {}.crt away", name), entry.where});
      continue;
    }
    files.push_back(std::move(entry));
  }
}

}  // namespace

std::vector<CertificateFiles> ListCertificates(const config::Certificates& certificates,
                                               std::vector<Error>& faults, bool keyless) {
  std::vector<CertificateFiles> files;
  for (const config::CertificatePair& pair : certificates.pairs) {
    files.push_back({pair.name,
                     {.certificate = pair.certificate,
                      .key = pair.key,
                      .chain = {},
                      .passphrase = pair.passphrase},
                     pair.where,
                     false,
                     pair.ocsp});
  }
  ListDirectory(certificates, keyless, files, faults);
  return files;
}

bool NeedsSelfSigned(const config::Certificates& certificates) {
  if (!certificates.pairs.empty() || certificates.directory.empty()) return false;
  if (!certificates.default_name.empty() && certificates.default_name != "default") return false;
  // A directory that cannot be read is Compile's to report.
  if (!Exists(certificates.directory)) return errno == ENOENT;
  // A key alone may wait for the certificate that was asked for with it.
  return !Exists(certificates.directory + "/default.crt") &&
         !Exists(certificates.directory + "/default.key");
}

std::optional<CertificateFiles> FilesForServers(const config::Backend& backend) {
  const config::BackendTls& tls = backend.tls;
  if (tls.mode == config::BackendTlsMode::kOff || tls.certificate.empty()) return std::nullopt;
  CertificateFiles files;
  files.given_name = "backend:" + backend.name;
  files.files.certificate = tls.certificate;
  files.files.key = tls.key;
  files.files.passphrase = tls.passphrase;
  files.where = tls.certificate_where;
  return files;
}

}  // namespace postern::generation
