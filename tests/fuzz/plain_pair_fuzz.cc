// Fuzzing of the quick way to load a pair. It may give up on anything, but a pair that it takes
// LoadPair has to take, too, and make the same of it.
//
// An input is the file of the chain behind its length (2 octets, the high one first), then the
// file of the key.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "postern/base/check.h"
#include "postern/os/unique_fd.h"
#include "postern/pki/certificate.h"
#include "postern/pki/plain_pair.h"

namespace {

// A file in memory with a path, as LoadPair wants one.
class File {
 public:
  explicit File(std::span<const uint8_t> octets) : fd_(::memfd_create("pair", MFD_CLOEXEC)) {
    POSTERN_CHECK(::fchmod(fd_.get(), 0600) == 0);
    POSTERN_CHECK(::write(fd_.get(), octets.data(), octets.size()) ==
                  static_cast<ssize_t>(octets.size()));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  postern::os::UniqueFd fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::span<const uint8_t> rest(data + 2, size - 2);
  const size_t said = static_cast<size_t>(data[0]) << 8 | data[1];
  const size_t chain_size = std::min(said, rest.size());
  const File chain(rest.first(chain_size));
  const File key(rest.subspan(chain_size));
  const postern::pki::PairFiles files{.certificate = chain.path(), .key = key.path(), .chain = {}};
  postern::pki::KnownCertificates known;
  const auto plain = postern::pki::LoadPlainPair(files, known);
  POSTERN_CHECK(postern::pki::OpenSslErrors().empty());
  if (!plain) return 0;
  const auto pair = postern::pki::LoadPair(files);
  POSTERN_CHECK(pair.has_value());
  POSTERN_CHECK(plain->chain_der == pair->chain_der);
  POSTERN_CHECK(plain->key_der.get() == pair->key_der.get());
  POSTERN_CHECK(plain->names == pair->names && plain->key_type == pair->key_type);
  POSTERN_CHECK(plain->not_before == pair->not_before && plain->not_after == pair->not_after);
  POSTERN_CHECK(plain->key_kind == pair->key_kind && plain->schemes == pair->schemes);
  POSTERN_CHECK(plain->must_staple == pair->must_staple);
  POSTERN_CHECK(plain->warnings.size() == pair->warnings.size());
  POSTERN_CHECK(plain->weaknesses.empty() && pair->weaknesses.empty());
  return 0;
}
