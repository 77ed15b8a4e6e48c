// Fuzzing of certificate and key files. They come from the administrator and from ACME clients; a
// damaged one must be refused in words, by a master that lives on.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "postern/base/check.h"
#include "postern/os/unique_fd.h"
#include "postern/pki/certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const postern::os::UniqueFd file(::memfd_create("pem", MFD_CLOEXEC));
  POSTERN_CHECK(::fchmod(file.get(), 0600) == 0);  // a key that others can read is refused unread
  POSTERN_CHECK(::write(file.get(), data, size) == static_cast<ssize_t>(size));
  // One file may hold both.
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  const auto pair = postern::pki::LoadPair(path, path);
  // OpenSSL's queue must be empty afterwards, or the next caller takes our errors for its own.
  POSTERN_CHECK(postern::pki::OpenSslErrors().empty());
  if (!pair.has_value()) {
    POSTERN_CHECK(!pair.error().what.empty() && !pair.error().remedy.empty());
    return 0;
  }
  POSTERN_CHECK(!pair->chain_der.empty() && pair->chain_der.size() <= postern::pki::kMaxChain);
  POSTERN_CHECK(pair->periods.size() == pair->chain_der.size());
  POSTERN_CHECK(!pair->key_der.get().empty());
  return 0;
}
