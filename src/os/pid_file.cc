// The pid file. The lock and not the number decides whether somebody lives: numbers are reused, and
// a file is left behind by SIGKILL. flock and not fcntl's record lock: that one is lost as soon as
// any descriptor of the file is closed.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "postern/os/process.h"

namespace postern::os {
namespace {

std::string FirstWord(int fd) {
  char text[32] = {};
  const ssize_t size = ::pread(fd, text, sizeof text - 1, 0);
  std::string word(text, size > 0 ? static_cast<size_t>(size) : 0);
  return word.substr(0, word.find_first_not_of("0123456789"));
}

// Whether `path` still names the file that `fd` has open: its owner may have removed it between our
// open and our lock.
bool StillNamed(int fd, const std::string& path) {
  struct stat ours {};
  struct stat named {};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &named) == 0 &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

// Readable to all whatever our umask: a number is no secret, and scripts want it. 0 or an errno
// value.
int WritePid(int fd) {
  const std::string text = fmt::format("{}\n", ::getpid());
  const bool written =
      ::fchmod(fd, 0644) == 0 && ::ftruncate(fd, 0) == 0 &&
      ::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  return written ? 0 : errno;
}

}  // namespace

PidFile::PidFile(PidFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}

PidFile& PidFile::operator=(PidFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

PidFile::~PidFile() {
  // Removed while the lock is held, so that it is ours for certain.
  if (fd_.valid()) ::unlink(path_.c_str());
}

Result<PidFile> PidFile::Create(const std::string& path) {
  const std::string what = "cannot make the pid file " + path;
  for (int attempt = 0; attempt < 16; ++attempt) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
    if (!fd.valid()) return FailErrno(what, errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return FailErrno(what, errno);
      const std::string pid = FirstWord(fd.get());
      return Fail(fmt::format("{}: the process {} holds it", what, pid.empty() ? "unknown" : pid),
                  "stop that one first, or choose another pid file");
    }
    if (!StillNamed(fd.get(), path)) continue;
    if (const int error_number = WritePid(fd.get()); error_number != 0) {
      ::unlink(path.c_str());
      return FailErrno(what, error_number);
    }
    PidFile file;
    file.path_ = path;
    file.fd_ = std::move(fd);
    return file;
  }
  return Fail(what + ": others keep removing it");
}

Result<PidFile> PidFile::Adopt(const std::string& path, UniqueFd fd) {
  if (const int error_number = WritePid(fd.get()); error_number != 0) {
    return FailErrno("cannot write the pid file " + path, error_number);
  }
  PidFile file;
  file.path_ = path;
  file.fd_ = std::move(fd);
  return file;
}

void PidFile::Disown() {
  path_.clear();
  fd_.Reset();
}

}  // namespace postern::os
