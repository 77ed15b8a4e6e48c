// WatchPlan: where changes of certificate files show, and how these files stand.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "postern/config/config.h"

namespace postern::master {

struct WatchedDirectory {
  std::set<std::string> names;  // entries that matter
  bool is_store = false;        // so does whatever may belong to a pair of a certificate directory
  bool has_files = false;       // some of these entries are files that are read; else directories
  // Which directory it is: another one may take its place.
  uint64_t device = 0;
  uint64_t inode = 0;

  bool Concerns(std::string_view name) const;
};

struct WatchPlan {
  // By path, without symbolic links in it. Beside the directories of the files, those through which
  // one gets there: a link may be turned elsewhere, a directory may be replaced or come back.
  std::map<std::string, WatchedDirectory> directories;
  // A digest of all these files' places and stamps: changes when one of them does.
  uint64_t state = 0;
  uint64_t took_ms = 0;  // to make it
};

// MakeWatchPlan looks at what `config` names: the certificate directory, the files of the pairs,
// OCSP responses, the authorities and revocation lists of clients, and what back ends name for
// their servers. It blocks on the file system.
WatchPlan MakeWatchPlan(const config::Config& config);

}  // namespace postern::master
