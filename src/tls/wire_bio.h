// WireBio: libssl's transport as a window on the caller's memory. libssl reads from `in` and writes
// behind `out` or into `slot`; there is no socket and no buffer of its own.
#pragma once

#include <cstddef>
#include <vector>

#include "postern/base/bytes.h"
#include "tls/openssl_types.h"

namespace postern::tls {

struct WireWindow {
  Bytes in;         // what libssl may read
  size_t read = 0;  // how much of it libssl has read
  // Where writes go: to `slot` while it is not empty, to `out` otherwise.
  MutableBytes slot;
  size_t written = 0;  // into the slot
  std::vector<std::byte>* out = nullptr;
};

// Makes a BIO over `window`, which must outlive it and stay where it is. nullptr: no memory.
BioPtr MakeWireBio(WireWindow& window);

}  // namespace postern::tls
