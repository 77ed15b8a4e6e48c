// Whole files. Everything here blocks: for starts, the loader thread and the command line only.
#include "postern/os/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace postern::os {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string ReadRemedy(int error_number) {
  if (error_number == EACCES) return "check the modes and owners of the file and its directories";
  return {};
}

Status WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FailErrno("write", errno);
    content.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, size_t max_size) {
  // O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return FailErrno("cannot open " + path, errno, ReadRemedy(errno));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return FailErrno("cannot read " + path, errno);
  if (!S_ISREG(status.st_mode)) {
    return Fail(fmt::format("cannot read {}: it is {}", path,
                            S_ISDIR(status.st_mode) ? "a directory" : "no regular file"));
  }
  std::string content;
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("cannot read " + path, errno);
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
    if (content.size() > max_size) {
      return Fail(fmt::format("cannot read {}: it is larger than {} octets", path, max_size));
    }
  }
}

Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  const std::string what = "cannot write " + path;
  std::string temporary = path + ".XXXXXX";
  const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.valid()) {
    return FailErrno(what, errno, errno == ENOENT ? "make its directory" : std::string());
  }
  Status done = WriteAll(fd.get(), content);
  if (done && ::fchmod(fd.get(), mode) != 0) done = FailErrno("chmod", errno);
  if (done && ::fsync(fd.get()) != 0) done = FailErrno("fsync", errno);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) done = FailErrno("rename", errno);
  if (!done) {
    ::unlink(temporary.c_str());
    return Fail(what + ": " + done.error().what);
  }
  // The new name is on disk when its directory is; some file systems cannot do that, so be it.
  const UniqueFd directory(::open(ParentOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid()) ::fsync(directory.get());
  return {};
}

Status MakeDirectories(const std::string& path, mode_t mode) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return Fail(fmt::format("cannot make the directory {}: a file stands there", path));
  }
  const std::string parent = ParentOf(path);
  if (parent != path && parent != "." && ::stat(parent.c_str(), &status) != 0) {
    if (Status made = MakeDirectories(parent, 0755); !made) return made;
  }
  if (::mkdir(path.c_str(), mode) != 0) {
    if (errno == EEXIST) return {};  // made by somebody else in between
    return FailErrno("cannot make the directory " + path, errno);
  }
  // mkdir subtracts the umask.
  if (::chmod(path.c_str(), mode) != 0) return FailErrno("cannot set the mode of " + path, errno);
  return {};
}

Result<UniqueFd> OpenForAppend(const std::string& path) {
  // O_NONBLOCK: a FIFO without a reader is an error and not a process that hangs.
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  UniqueFd fd(::open(path.c_str(), kFlags));
  if (fd.valid()) return fd;
  if (errno == ENOENT) {
    fd.Reset(::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0640));
    if (!fd.valid() && errno == EEXIST) fd.Reset(::open(path.c_str(), kFlags));
    // The group that may read logs gets to, whatever our umask.
    if (fd.valid()) ::fchmod(fd.get(), 0640);
  }
  if (!fd.valid()) return FailErrno("cannot open " + path, errno, ReadRemedy(errno));
  return fd;
}

}  // namespace postern::os
