// Whether a file changed since it was read. Times and sizes rather than a digest: with 100,000
// certificates a reload would otherwise read 200,000 files to find the one that was renewed.
#include "postern/pki/file_stamp.h"

#include <fmt/format.h>

#include <cerrno>
#include <ctime>

namespace postern::pki {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kSettledAfter = 2 * kSecond;

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

}  // namespace

bool FileStamp::SameFile(const FileStamp& newer) const {
  return settled && device == newer.device && inode == newer.inode && size == newer.size &&
         mtime_ns == newer.mtime_ns && ctime_ns == newer.ctime_ns;
}

FileStamp MakeStamp(const struct stat& status) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  FileStamp stamp;
  stamp.device = status.st_dev;
  stamp.inode = status.st_ino;
  stamp.size = status.st_size;
  stamp.mtime_ns = Nanoseconds(status.st_mtim);
  stamp.ctime_ns = Nanoseconds(status.st_ctim);
  // The change time alone: the modification time can be set at will, the change time cannot, and
  // every change of content moves both.
  stamp.settled = stamp.ctime_ns <= Nanoseconds(now) - kSettledAfter;
  return stamp;
}

Result<FileStamp> StampOf(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return FailErrno(fmt::format("cannot look at {}", path), errno);
  }
  return MakeStamp(status);
}

}  // namespace postern::pki
