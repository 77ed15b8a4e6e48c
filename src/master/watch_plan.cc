// Paths are followed one component after the other, as the kernel does it: a renewal may replace
// the file, turn a link of the file (certbot), turn a link of a directory (Kubernetes' volumes) or
// exchange the directory, and each of these shows in another directory.
#include "master/watch_plan.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "postern/os/clock.h"
#include "postern/pki/file_stamp.h"

namespace postern::master {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel has it (path_resolution(7))

constexpr std::array<std::string_view, 4> kStoreSuffixes = {".crt", ".key", ".chain", ".ocsp"};

bool IsStoreFile(std::string_view name) {
  return !name.starts_with('.') && std::ranges::any_of(kStoreSuffixes, [&](std::string_view end) {
    return name.ends_with(end);
  });
}

std::string Join(const std::string& directory, std::string_view name) {
  std::string path = directory == "/" ? std::string() : directory;
  path += '/';
  path += name;
  return path;
}

struct Split {
  std::string directory;
  std::string name;
};

// `path` is absolute. The name is empty for "/" alone.
Split SplitPath(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  Split split;
  split.name = path.substr(slash + 1);
  split.directory = slash == 0 ? "/" : path.substr(0, slash);
  return split;
}

std::optional<std::string> ReadLink(const std::string& path) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size <= 0) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(size));
}

class Planner {
 public:
  void AddFile(const std::string& path, int links = 0) {
    const Split split = SplitPath(Absolute(path));
    const std::optional<std::string> directory = Directory(split.directory, links);
    Mix(path);
    if (!directory) return Mix("nowhere");
    WatchedDirectory& watched = plan_.directories[*directory];
    watched.has_files = true;
    if (!watched.is_store || !IsStoreFile(split.name)) watched.names.insert(split.name);
    const std::string canonical = Join(*directory, split.name);
    struct stat status {};
    if (::lstat(canonical.c_str(), &status) != 0) return Mix("missing");
    if (S_ISLNK(status.st_mode) && links < kMaxLinks) {
      if (const auto target = ReadLink(canonical)) AddFile(From(*directory, *target), links + 1);
      return;
    }
    MixStamp(status);
  }

  void AddStore(const std::string& path) {
    Mix(path);
    const std::optional<std::string> directory = Directory(Absolute(path), 0);
    if (!directory) return Mix("nowhere");
    WatchedDirectory& watched = plan_.directories[*directory];
    watched.is_store = watched.has_files = true;
    struct stat status {};
    if (::stat(directory->c_str(), &status) == 0) Mix(status.st_mode);  // keys want 0700
    for (const std::string& name : StoreFiles(*directory)) AddFile(Join(*directory, name));
  }

  WatchPlan Take() {
    plan_.state = state_;
    return std::move(plan_);
  }

 private:
  static std::string Absolute(const std::string& path) {
    if (path.starts_with('/')) return path;
    std::array<char, PATH_MAX> here;
    if (::getcwd(here.data(), here.size()) == nullptr) return "/" + path;
    return Join(here.data(), path);
  }
  static std::string From(const std::string& directory, const std::string& target) {
    return target.starts_with('/') ? target : Join(directory, target);
  }

  static std::vector<std::string> StoreFiles(const std::string& directory) {
    struct Close {
      void operator()(DIR* open) const { ::closedir(open); }
    };
    std::vector<std::string> names;
    const std::unique_ptr<DIR, Close> open(::opendir(directory.c_str()));
    if (open == nullptr) return names;
    while (const dirent* entry = ::readdir(open.get())) {
      if (IsStoreFile(entry->d_name)) names.emplace_back(entry->d_name);
    }
    std::ranges::sort(names);
    return names;
  }

  // Directory is `path` without symbolic links, and adds what is passed on the way to the plan.
  // Nothing when it is not there (yet).
  std::optional<std::string> Directory(const std::string& path, int links) {
    if (const auto known = resolved_.find(path); known != resolved_.end()) return known->second;
    std::optional<std::string> found = Resolve(path, links);
    resolved_[path] = found;
    return found;
  }

  std::optional<std::string> Resolve(const std::string& path, int links) {
    if (path == "/") return Enter("/");
    const Split split = SplitPath(path);
    const std::optional<std::string> parent = Directory(split.directory, links);
    if (!parent || split.name.empty() || split.name == ".") return parent;
    if (split.name == "..") return *parent == "/" ? parent : Enter(SplitPath(*parent).directory);
    plan_.directories[*parent].names.insert(split.name);
    const std::string canonical = Join(*parent, split.name);
    if (const auto target = ReadLink(canonical)) {
      if (links >= kMaxLinks) return std::nullopt;
      return Directory(From(*parent, *target), links + 1);
    }
    return Enter(canonical);
  }

  std::optional<std::string> Enter(const std::string& canonical) {
    struct stat status {};
    if (::stat(canonical.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return std::nullopt;
    WatchedDirectory& watched = plan_.directories[canonical];
    watched.device = status.st_dev;
    watched.inode = status.st_ino;
    return canonical;
  }

  // FNV-1a, 64 bits: nobody gains by two states that look the same.
  void MixOctet(unsigned char octet) { state_ = (state_ ^ octet) * 0x100000001b3; }
  void Mix(std::string_view text) {
    for (const char c : text) MixOctet(static_cast<unsigned char>(c));
    MixOctet(0);
  }
  void Mix(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) {
      MixOctet(static_cast<unsigned char>(number >> shift));
    }
  }
  void MixStamp(const struct stat& status) {
    const pki::FileStamp stamp = pki::MakeStamp(status);
    Mix(stamp.device);
    Mix(stamp.inode);
    Mix(static_cast<uint64_t>(stamp.size));
    Mix(static_cast<uint64_t>(stamp.mtime_ns));
    Mix(static_cast<uint64_t>(stamp.ctime_ns));
  }

  WatchPlan plan_;
  uint64_t state_ = 0xcbf29ce484222325;
  std::unordered_map<std::string, std::optional<std::string>> resolved_;
};

}  // namespace

bool WatchedDirectory::Concerns(std::string_view name) const {
  return (is_store && IsStoreFile(name)) || names.contains(std::string(name));
}

WatchPlan MakeWatchPlan(const config::Config& config) {
  const uint64_t begun_ms = os::MonotonicMs();
  Planner planner;
  const auto add = [&](const std::string& path) {
    if (!path.empty()) planner.AddFile(path);
  };
  if (!config.certificates.directory.empty()) planner.AddStore(config.certificates.directory);
  for (const config::CertificatePair& pair : config.certificates.pairs) {
    for (const std::string& path : {pair.certificate, pair.key, pair.ocsp}) add(path);
  }
  for (const config::Listener& listener : config.listeners) {
    if (listener.clients.mode == config::ClientMode::kOff) continue;
    add(listener.clients.ca);
    for (const std::string& crl : listener.clients.crls) add(crl);
  }
  for (const config::Backend& backend : config.backends) {
    const config::BackendTls& tls = backend.tls;
    if (tls.mode == config::BackendTlsMode::kOff) continue;
    if (tls.verify) add(tls.ca);
    add(tls.certificate);
    add(tls.key);
  }
  WatchPlan plan = planner.Take();
  plan.took_ms = os::MonotonicMs() - begun_ms;
  return plan;
}

}  // namespace postern::master
