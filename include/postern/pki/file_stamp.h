// FileStamp: tells whether a file is still the one that was read, without reading it again.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "postern/base/result.h"

namespace postern::pki {

struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  // False when the file had changed less than two seconds before the stamp was taken: file systems
  // with whole seconds would give a second change the same times, so such a stamp proves nothing.
  bool settled = false;

  // SameFile: nothing has changed between the taking of the two stamps, `this` being the older.
  bool SameFile(const FileStamp& newer) const;
};

// MakeStamp is for a descriptor's or a path's fstat or stat.
FileStamp MakeStamp(const struct stat& status);
// StampOf follows symbolic links, as reading does.
Result<FileStamp> StampOf(const std::string& path);

}  // namespace postern::pki
