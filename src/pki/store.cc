// The certificate directory. Considered and left: symbolic links to a directory per pair (one
// rename switches both files, but an administrator who copies a file over a link no longer knows
// what he changes), one file for both (nothing else reads it), a journal (somebody would have to
// replay it before anything is read, with rights that a check does not have).
#include "postern/pki/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "pki/pem_file.h"
#include "postern/base/limits.h"
#include "postern/os/files.h"
#include "postern/os/unique_fd.h"

namespace postern::pki {
namespace {

constexpr std::string_view kImportSuffix = ".import";

std::string Previous(const std::string& path) { return path + std::string(kPreviousSuffix); }

bool Exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// What was renamed is on disk when the directory is; some file systems cannot do that, so be it.
void SyncDirectory(const std::string& directory) {
  const os::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) ::fsync(fd.get());
}

Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return FailErrno(fmt::format("cannot rename {} to {}", from, to), errno);
}

// KeepPrevious makes `path`.previous another name of the file at `path`, so that `path` itself is
// there all the time. Nothing to do when there is no such file.
Status KeepPrevious(const std::string& path) {
  if (!Exists(path)) return {};
  const std::string previous = Previous(path);
  const std::string temporary = previous + ".new";
  ::unlink(temporary.c_str());
  if (::link(path.c_str(), temporary.c_str()) == 0) {
    Status renamed = Rename(temporary, previous);
    // rename(2) does nothing when both are names of one file already.
    ::unlink(temporary.c_str());
    return renamed;
  }
  // A file system without hard links.
  const int error_number = errno;
  const Result<FileOctets> file = ReadOctets(path, "file");
  if (!file) return FailErrno(fmt::format("cannot keep {} as {}", path, previous), error_number);
  return os::WriteFileAtomically(previous, file->octets.text(), file->mode & 07777);
}

// SetAside moves what does not belong to the new pair out of the way.
Status SetAside(const std::string& path) {
  if (Exists(path)) return Rename(path, Previous(path));
  ::unlink(Previous(path).c_str());  // of a pair that is no longer the one before
  return {};
}

Status Exchange(const std::string& one, const std::string& other) {
  if (::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) {
    return FailErrno(fmt::format("cannot exchange {} and {}", one, other), errno);
  }
  // A file system that cannot do it in one go.
  const std::string temporary = one + ".exchange";
  if (Status moved = Rename(one, temporary); !moved) return moved;
  if (Status moved = Rename(other, one); !moved) return moved;
  return Rename(temporary, other);
}

// The same for files that need not be there.
Status ExchangeIfThere(const std::string& path) {
  const std::string previous = Previous(path);
  if (Exists(path) && Exists(previous)) return Exchange(path, previous);
  if (Exists(path)) return Rename(path, previous);
  if (Exists(previous)) return Rename(previous, path);
  return {};
}

KeyPtr PublicKeyIn(const std::string& certificate_path) {
  const Result<PemFile> file = ReadPemFile(certificate_path, Content::kCertificate);
  if (!file) return nullptr;
  for (const PemBlock& block : file->blocks) {
    if (!block.IsCertificate()) continue;
    const unsigned char* at = block.der.get().data();
    const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(block.der.get().size())));
    if (certificate != nullptr) return KeyPtr(X509_get_pubkey(certificate.get()));
  }
  return nullptr;
}

KeyPtr PrivateKeyIn(const std::string& path) {
  const Result<PemFile> file = ReadPemFile(path, Content::kKey);
  if (!file) return nullptr;
  for (const PemBlock& block : file->blocks) {
    if (!block.IsPrivateKey() || block.encrypted) continue;
    const unsigned char* at = block.der.get().data();
    return KeyPtr(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(block.der.get().size())));
  }
  return nullptr;
}

// Repair undoes what an installation or a reversal that was cut off between key and certificate has
// left: the key of before is the certificate's. Keys under a passphrase cannot be compared here and
// are left alone; LoadPair reads such a pair all the same.
void Repair(const StoreNames& names) {
  const KeyPtr expected = PublicKeyIn(names.certificate);
  const KeyPtr key = PrivateKeyIn(names.key);
  const KeyPtr before = PrivateKeyIn(Previous(names.key));
  const auto fits = [&](const KeyPtr& candidate) {
    return candidate != nullptr && EVP_PKEY_eq(expected.get(), candidate.get()) == 1;
  };
  if (expected != nullptr && key != nullptr && !fits(key) && fits(before)) {
    (void)Exchange(names.key, Previous(names.key));
  }
  ERR_clear_error();
}

// Lock keeps two that change the directory apart.
Result<os::UniqueFd> Lock(const std::string& directory) {
  os::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return FailErrno(fmt::format("cannot open the certificate directory {}", directory), errno);
  }
  if (::flock(fd.get(), LOCK_EX) != 0) {
    return FailErrno(fmt::format("cannot lock the certificate directory {}", directory), errno);
  }
  return fd;
}

Status RunAll(const std::string& directory, const std::vector<InstallStep>& steps) {
  for (const InstallStep& step : steps) {
    if (Status done = step.run(); !done) {
      done.error().what = fmt::format("cannot {}: {}", step.what, done.error().what);
      return done;
    }
    SyncDirectory(directory);
  }
  return {};
}

}  // namespace

StoreNames NamesIn(const std::string& directory, const std::string& name) {
  const std::string stem = directory + "/" + name;
  return {stem + ".crt", stem + ".key", stem + ".csr", stem + ".chain", stem + ".ocsp"};
}

bool IsStoreName(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == '*';
  };
  // The suffixes must still fit into a file name of 255 octets.
  return !name.empty() && name.size() <= limits::kMaxHostName - 20 && !name.starts_with('.') &&
         std::ranges::all_of(name, fits);
}

std::string StoreNameFor(std::string_view host) {
  std::string name(host);
  if (name.starts_with("*.")) name[0] = '_';
  return name;
}

Status CheckKeyMode(const std::string& path, mode_t mode, KeyPlace place) {
  // In a place of its own the group may read a key, whose owner has given it to that group.
  const mode_t forbidden = place == KeyPlace::kStore ? 0077 : 0037;
  if ((mode & forbidden) == 0) return {};
  return Fail(fmt::format("key file {} is open to others (mode {:04o})", path, mode & 07777),
              fmt::format("chmod 600 {}", path));
}

Status CheckStoreDirectory(const std::string& directory) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0 || (status.st_mode & 0077) == 0) return {};
  return Fail(fmt::format("the certificate directory {}, which is for keys, is open to others "
                          "(mode {:04o})",
                          directory, status.st_mode & 07777),
              fmt::format("chmod 700 {}", directory));
}

std::vector<InstallStep> InstallSteps(const std::string& directory, const std::string& name,
                                      PairTexts texts) {
  const StoreNames names = NamesIn(directory, name);
  const std::string new_certificate = names.certificate + std::string(kImportSuffix);
  const std::string new_key = names.key + std::string(kImportSuffix);
  // std::function wants what it holds to be copied.
  const auto shared = std::make_shared<PairTexts>(std::move(texts));
  std::vector<InstallStep> steps;
  steps.push_back({"write the new certificate", [=] {
                     return os::WriteFileAtomically(new_certificate, shared->certificate_pem, 0644);
                   }});
  steps.push_back({"write the new key",
                   [=] { return os::WriteFileAtomically(new_key, shared->key_pem.text(), 0600); }});
  steps.push_back({"keep the key of before", [=] { return KeepPrevious(names.key); }});
  steps.push_back(
      {"keep the certificate of before", [=] { return KeepPrevious(names.certificate); }});
  steps.push_back({"put the new key in place", [=] { return Rename(new_key, names.key); }});
  steps.push_back({"put the new certificate in place",
                   [=] { return Rename(new_certificate, names.certificate); }});
  steps.push_back({"set the chain of before aside", [=] { return SetAside(names.chain); }});
  steps.push_back({"set the OCSP response of before aside", [=] { return SetAside(names.ocsp); }});
  return steps;
}

Status InstallPair(const std::string& directory, const std::string& name, PairTexts texts) {
  if (Status made = os::MakeDirectories(directory, 0700); !made) return made;
  if (Status closed = CheckStoreDirectory(directory); !closed) return closed;
  const Result<os::UniqueFd> lock = Lock(directory);
  if (!lock) return std::unexpected(lock.error());
  const StoreNames names = NamesIn(directory, name);
  Repair(names);
  Status done = RunAll(directory, InstallSteps(directory, name, std::move(texts)));
  if (!done) Repair(names);
  return done;
}

std::vector<InstallStep> RevertSteps(const std::string& directory, const std::string& name) {
  const StoreNames names = NamesIn(directory, name);
  std::vector<InstallStep> steps;
  steps.push_back({"exchange the keys", [=] { return Exchange(names.key, Previous(names.key)); }});
  steps.push_back({"exchange the certificates",
                   [=] { return Exchange(names.certificate, Previous(names.certificate)); }});
  steps.push_back({"exchange the chains", [=] { return ExchangeIfThere(names.chain); }});
  steps.push_back({"exchange the OCSP responses", [=] { return ExchangeIfThere(names.ocsp); }});
  return steps;
}

Status RevertPair(const std::string& directory, const std::string& name) {
  const Result<os::UniqueFd> lock = Lock(directory);
  if (!lock) return std::unexpected(lock.error());
  const StoreNames names = NamesIn(directory, name);
  Repair(names);
  for (const std::string& path : {names.certificate, names.key}) {
    if (Exists(path) && Exists(Previous(path))) continue;
    return Fail(fmt::format("there is no pair before the present \"{}\": {} does not exist", name,
                            Exists(path) ? Previous(path) : path),
                "`postern cert list` shows what there is");
  }
  Status done = RunAll(directory, RevertSteps(directory, name));
  if (!done) Repair(names);
  return done;
}

}  // namespace postern::pki
