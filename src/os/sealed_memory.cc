// Shared memory as memfds. Not shm_open or files in /dev/shm: those have names that other processes
// can open, and outlive a crash.
#include "postern/os/sealed_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace postern::os {
namespace {

#ifndef MFD_NOEXEC_SEAL
constexpr unsigned MFD_NOEXEC_SEAL = 0x0008U;  // Linux 6.3; glibc 2.36 does not name it
#endif

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

Result<UniqueFd> MakeMemfd(const std::string& name, size_t size) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create(name.c_str(), kFlags | MFD_NOEXEC_SEAL));
  // Linux before 6.3 does not know the flag.
  if (!fd.valid() && errno == EINVAL) fd.Reset(::memfd_create(name.c_str(), kFlags));
  if (!fd.valid()) return FailErrno(fmt::format("cannot make memory \"{}\"", name), errno);
  // posix_fallocate, so that a lack of memory is an error here and not SIGBUS at the first touch.
  const int error = size == 0 ? 0 : ::posix_fallocate(fd.get(), 0, static_cast<off_t>(size));
  if (error != 0) {
    return FailErrno(fmt::format("cannot get {} octets of memory for \"{}\"", size, name), error);
  }
  return fd;
}

Status Seal(int fd, int seals, const std::string& name) {
  if (::fcntl(fd, F_ADD_SEALS, seals | kSizeSeals | F_SEAL_SEAL) == 0) return {};
  return FailErrno(fmt::format("cannot seal memory \"{}\"", name), errno);
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Status Mapping::LockSecrets() {
  if (data_ == nullptr) return {};
  ::madvise(data_, size_, MADV_DONTDUMP);
  ::madvise(data_, size_, MADV_DONTFORK);
  if (::mlock(data_, size_) == 0) return {};
  return FailErrno(fmt::format("cannot lock {} octets of secrets in memory", size_), errno,
                   "raise the limit RLIMIT_MEMLOCK (ulimit -l; LimitMEMLOCK= in a systemd unit)");
}

void Mapping::Wipe() {
  if (data_ != nullptr) ::explicit_bzero(data_, size_);
}

Result<Mapping> MapFd(int fd, MapMode mode) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return FailErrno("cannot map shared memory", errno);
  if (status.st_size <= 0) return Fail("cannot map shared memory: it is empty");
  const auto size = static_cast<size_t>(status.st_size);
  const int protection = mode == MapMode::kShared ? PROT_READ | PROT_WRITE : PROT_READ;
  void* data = ::mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    return FailErrno(fmt::format("cannot map {} octets of shared memory", size), errno);
  }
  return Mapping(static_cast<std::byte*>(data), size);
}

Result<UniqueFd> MakeSealed(const std::string& name, Bytes content) {
  Result<UniqueFd> fd = MakeMemfd(name, content.size());
  if (!fd) return fd;
  for (size_t done = 0; done < content.size();) {
    const Bytes rest = content.subspan(done);
    const ssize_t written = ::pwrite(fd->get(), rest.data(), rest.size(), static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FailErrno(fmt::format("cannot write memory \"{}\"", name), errno);
    done += static_cast<size_t>(written);
  }
  if (Status sealed = Seal(fd->get(), F_SEAL_WRITE, name); !sealed) {
    return std::unexpected(sealed.error());
  }
  return fd;
}

Result<SecretMemory> MakeSecret(const std::string& name, Bytes content) {
  Result<UniqueFd> fd = MakeMemfd(name, content.size());
  if (!fd) return std::unexpected(fd.error());
  Result<Mapping> writable = MapFd(fd->get(), MapMode::kShared);
  if (!writable) return std::unexpected(writable.error());
  // Best effort before the secret goes in; whoever must know calls LockSecrets once more.
  [[maybe_unused]] const Status locked = writable->LockSecrets();
  std::memcpy(writable->mutable_bytes().data(), content.data(), content.size());
  if (Status sealed = Seal(fd->get(), F_SEAL_FUTURE_WRITE, name); !sealed) {
    writable->Wipe();
    return std::unexpected(sealed.error());
  }
  return SecretMemory{std::move(*fd), std::move(*writable)};
}

Result<UniqueFd> MakeShared(const std::string& name, size_t size) {
  Result<UniqueFd> fd = MakeMemfd(name, size);
  if (!fd) return fd;
  // Whoever maps it must be able to trust its size: a page cut off would be SIGBUS.
  if (::fcntl(fd->get(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL) != 0) {
    return FailErrno(fmt::format("cannot seal memory \"{}\"", name), errno);
  }
  return fd;
}

bool HasSeals(int fd, bool secret) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return false;
  const bool write = (seals & F_SEAL_WRITE) != 0;
  const bool future = (seals & F_SEAL_FUTURE_WRITE) != 0;
  return (seals & kSizeSeals) == kSizeSeals && (write || (secret && future));
}

}  // namespace postern::os
